"""``python -m services.encoder``: one encoder worker."""

import os

# Before NumPy loads: its own threads spin between calls, 17 ms of processor time per text (measured).
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

from services.encoder.app import build  # noqa: E402
from services.encoder.settings import EncoderSettings  # noqa: E402
from trimtab.worker.service import run  # noqa: E402
from trimtab.worker.settings import DeploymentSettings  # noqa: E402

if __name__ == "__main__":
    run(lambda: build(DeploymentSettings.load(), EncoderSettings.load()))
