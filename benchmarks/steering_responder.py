"""The answering side of ``steering_cost``: ``python -m benchmarks.steering_responder KIND URL HOME``.

``steered`` is a worker as every service runs it, ``unsteered`` the same worker that asks no gate and learns nothing.
"""

import sys
from pathlib import Path

from benchmarks.hop_responder import Blob, Silent, echo, subject
from trimtab.bus.server import Endpoint
from trimtab.contracts.headers import RequestContext
from trimtab.worker.service import Worker, run
from trimtab.worker.settings import DeploymentSettings, WorkerSettings

KINDS = ("steered", "unsteered")


def worker(kind: str, url: str, home: Path) -> Worker:
    """Return a worker that echoes."""

    async def load(built: Worker) -> None:
        if kind == "unsteered":
            built.server.sampler = Silent(built.identity)
            built.server.gate = _open
        built.serve(Endpoint("encode", subject(kind), Blob, echo, f"{kind}@1"))

    deployment = DeploymentSettings(nats_url=url, home=home)
    return Worker(kind, "echoes", deployment, WorkerSettings(instance=f"{kind}-0"), load)


async def _open(_: RequestContext) -> None:
    """Let everything pass."""


def main() -> None:
    """Answer until terminated."""
    kind, url, home = sys.argv[1:4]
    run(lambda: worker(kind, url, Path(home)))


if __name__ == "__main__":
    main()
