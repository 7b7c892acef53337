"""A gateway that kills itself with SIGKILL beside a write into the stream, once a file says that it may.

``python -m tests.integration.dying_gateway``: the service itself. The environment names the point
(``DYING_POINT``) and the file (``DYING_ARMED``).
"""

import os
import signal
from pathlib import Path

from services.gateway.app import build
from services.gateway.documents.stream import DocStream
from services.gateway.settings import GatewaySettings
from tests.integration.dying_retriever import Wrap, after, before
from trimtab.worker.service import run
from trimtab.worker.settings import DeploymentSettings

POINTS: dict[str, Wrap] = {
    "before a write": before,
    "after a write was acknowledged, before the reply": after,
}


def prepare(point: str, armed: Path) -> None:
    """Wrap what writes into the stream."""

    def die() -> None:
        if armed.exists():
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(DocStream, "write", POINTS[point](DocStream.write, die))  # noqa: B010 - no method to the checker


if __name__ == "__main__":
    prepare(os.environ["DYING_POINT"], Path(os.environ["DYING_ARMED"]))
    run(lambda: build(DeploymentSettings.load(), GatewaySettings.load()))
