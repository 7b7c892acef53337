"""``python -m services.controller``."""

from services.controller.app import build
from services.controller.settings import ControllerSettings
from trimtab.worker.service import run
from trimtab.worker.settings import DeploymentSettings

if __name__ == "__main__":
    run(lambda: build(DeploymentSettings.load(), ControllerSettings.load()))
