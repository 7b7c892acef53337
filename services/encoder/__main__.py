"""``python -m services.encoder``: one encoder worker."""

from services.encoder.app import build
from services.encoder.settings import EncoderSettings
from trimtab.worker.service import run
from trimtab.worker.settings import DeploymentSettings

if __name__ == "__main__":
    run(lambda: build(DeploymentSettings.load(), EncoderSettings.load()))
