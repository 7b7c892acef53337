"""``python -m services.retriever``."""

import os
import sys

# Before NumPy and faiss load: threads of their own would take the core that the event loop needs.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

try:
    from services.retriever.app import build
    from services.retriever.settings import RetrieverSettings
    from trimtab.worker.service import run
    from trimtab.worker.settings import DeploymentSettings
except ModuleNotFoundError as missing:
    sys.exit(f"{missing.name} is not installed; run: pip install 'trimtab[retriever]'")

if __name__ == "__main__":
    run(lambda: build(DeploymentSettings.load(), RetrieverSettings.load()))
