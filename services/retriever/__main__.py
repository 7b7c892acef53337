"""``python -m services.retriever``."""

import os

# Before NumPy and faiss load: their own threads would spin on the core that the event loop needs.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

from services.retriever.app import build  # noqa: E402
from services.retriever.settings import RetrieverSettings  # noqa: E402
from trimtab.worker.service import run  # noqa: E402
from trimtab.worker.settings import DeploymentSettings  # noqa: E402

if __name__ == "__main__":
    run(lambda: build(DeploymentSettings.load(), RetrieverSettings.load()))
