"""The fleet as `trimtab status` shows it: a table for people, one JSON value for scripts. Pure."""

from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from trimtab.contracts.samples import Readiness, StatusReply, WorkerStatus

_SERVING = frozenset({Readiness.READY, Readiness.DEGRADED})

_STYLES = {
    Readiness.READY: "green",
    Readiness.DEGRADED: "yellow",
    Readiness.STARTING: "cyan",
    Readiness.DRAINING: "magenta",
}


def convergence(status: StatusReply) -> dict[str, Any]:
    """Return whether every worker obeys the newest revision, and who does not.

    Revision 0 is a worker that reads no control state: the gateway chooses for it, request by request.
    """
    silent = [worker.instance for worker in status.workers if worker.silent]
    behind = [
        worker.instance
        for worker in status.workers
        if 0 < worker.revision < status.revision and not worker.silent
    ]
    return {"converged": not silent and not behind, "behind": behind, "silent": silent}


def healthy(status: StatusReply) -> bool:
    """Return whether there are workers, all of them serving, heard of, and at the newest revision.

    A degraded worker serves; its reason is shown, and `trimtab doctor` warns of it.
    """
    serving = all(worker.readiness in _SERVING for worker in status.workers)
    return bool(status.workers) and serving and bool(convergence(status)["converged"])


def shape(status: StatusReply) -> dict[str, Any]:
    """Return what ``--json`` prints: a contract with scripts, fixed in the documentation."""
    return {
        "at": status.at,
        "release": status.release,
        "revision": status.revision,
        "canary": status.canary,
        "leader": status.leader,
        "convergence": convergence(status),
        "workers": status.workers,
    }


def picture(status: StatusReply) -> Group:
    """Return one line per worker, and below it the reason of each that is not simply ready."""
    state = convergence(status)
    word = "converged" if state["converged"] else "NOT converged"
    made = Table(box=None, pad_edge=False)
    for heading in ("instance", "readiness", "components"):
        made.add_column(heading, overflow="fold")
    for heading in ("rev", "req/min", "errors", "p95 ms", "MiB", "up", "seen"):
        made.add_column(heading, justify="right", no_wrap=True)
    for worker in status.workers:
        made.add_row(*_cells(worker))
    reasons = [
        Text(f"{w.instance}: {w.reason}", style="yellow") for w in status.workers if w.reason
    ]
    title = Text(f"release {status.release}, revision {status.revision}: {word}", style="bold")
    steering = [
        Text(f"{what} {value}")
        for what, value in (("canary", status.canary), ("led by", status.leader))
        if value
    ]
    return Group(title, *steering, made, *reasons)


def _cells(worker: WorkerStatus) -> list[str | Text]:
    feeling, style = worker.readiness.value, _STYLES[worker.readiness]
    if worker.silent:
        feeling, style = "silent", "red"
    return [
        worker.instance,
        Text(feeling, style=style),
        " ".join(sorted(worker.components)) or "-",
        str(worker.revision or "-"),
        str(worker.requests),
        str(worker.errors),
        "-" if worker.p95_ms is None else f"{worker.p95_ms:.1f}",
        f"{worker.rss_bytes / 2**20:.0f}",
        _duration(worker.uptime_s),
        f"{worker.age_s:.0f} s",
    ]


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
