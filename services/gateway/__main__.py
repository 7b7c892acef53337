"""``python -m services.gateway``."""

from services.gateway.app import build
from services.gateway.settings import GatewaySettings
from trimtab.worker.service import run
from trimtab.worker.settings import DeploymentSettings

if __name__ == "__main__":
    run(lambda: build(DeploymentSettings.load(), GatewaySettings.load()))
