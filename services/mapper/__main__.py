"""``python -m services.mapper``."""

import os

# Before NumPy loads: threads of its own would spin between calls (measured in the encoder).
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

from services.mapper.app import build  # noqa: E402
from services.mapper.settings import MapperSettings  # noqa: E402
from trimtab.worker.service import run  # noqa: E402
from trimtab.worker.settings import DeploymentSettings  # noqa: E402

if __name__ == "__main__":
    run(lambda: build(DeploymentSettings.load(), MapperSettings.load()))
