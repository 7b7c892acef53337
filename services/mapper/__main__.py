"""``python -m services.mapper``."""

from services.mapper.app import build
from services.mapper.settings import MapperSettings
from trimtab.worker.service import run
from trimtab.worker.settings import DeploymentSettings

if __name__ == "__main__":
    run(lambda: build(DeploymentSettings.load(), MapperSettings.load()))
