"""``python -m services.reranker``."""

from services.reranker.app import build
from services.reranker.settings import RerankerSettings
from trimtab.worker.service import run
from trimtab.worker.settings import DeploymentSettings

if __name__ == "__main__":
    run(lambda: build(DeploymentSettings.load(), RerankerSettings.load()))
