"""The deployment as `trimtab status` shows it: tree and table for people, one JSON value for scripts. Pure."""

from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from trimtab.cli.advised import advised
from trimtab.cli.rollout import releases, span
from trimtab.contracts.samples import AlertStatus, Readiness, StatusReply, WorkerStatus

_SERVING = frozenset({Readiness.READY, Readiness.DEGRADED})

_STYLES = {
    Readiness.READY: "green",
    Readiness.DEGRADED: "yellow",
    Readiness.STARTING: "cyan",
    Readiness.DRAINING: "magenta",
}


_LOUD = {"firing": "red", "pending": "yellow", "inhibited": "dim"}


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
        "releases": status.releases,
        "rollout": status.rollout,
        "switches": status.switches,
        "settings": status.settings,
        "frozen": status.frozen,
        "alerts": status.alerts,
        "advised": _advised(status),
        "budgets": status.budgets,
        "workers": status.workers,
    }


def describe(alert: AlertStatus) -> str:
    """Return one line about an alert."""
    measured = "unknown" if alert.measured is None else f"{alert.measured:.4g}"
    return f"{alert.name} ({alert.severity}): {alert.condition}, now {measured}. {alert.notes}"


def budgets(status: StatusReply) -> str:
    """Return one line about all error budgets; empty when nothing is promised."""
    return "; ".join(
        f"{each.objective} {100 * each.remaining:.4g} % left"
        + (f", burns {each.burn['1h']:.3g}x" if "1h" in each.burn else "")
        for each in status.budgets
    )


def picture(status: StatusReply, problem: str = "") -> Group:
    """Return the releases as a tree, one line per worker, and the reason of each that is not simply well.

    ``problem`` says why the picture is an old one.
    """
    state = convergence(status)
    word = "converged" if state["converged"] else "NOT converged"
    title = Text(f"release {status.release}, revision {status.revision}: {word}", style="bold")
    lines = [
        Text(f"{what} {value}", style=style)
        for what, value, style in (
            ("old picture:", problem, "red"),
            ("led by", status.leader, "dim"),
            ("automation frozen by", status.frozen, "yellow"),
            *(("switched:", switch, "red") for switch in status.switches),
            *(("set:", setting, "yellow") for setting in status.settings),
            ("error budgets of 30 days:", budgets(status), "dim"),
            *((f"{a.state}:", describe(a), _LOUD[a.state]) for a in status.alerts),
            *(("advised:", advice, "yellow") for advice in _advised(status)),
        )
        if value
    ]
    tree = releases(status)
    workers = tree.add(Text("workers", style="bold"))
    workers.add(_workers(status))
    return Group(title, *lines, tree, *_reasons(status))


def _advised(status: StatusReply) -> list[str]:
    return advised(worker.facts for worker in status.workers)


def _workers(status: StatusReply) -> Table:
    made = Table(box=None, pad_edge=False)
    for heading in ("instance", "service", "readiness", "obeys", "components"):
        made.add_column(heading, overflow="fold")
    for heading in ("rev", "req/s", "errors", "p95 ms", "MiB", "up", "seen"):
        made.add_column(heading, justify="right", no_wrap=True)
    for worker in status.workers:
        made.add_row(*_cells(worker))
    return made


def _reasons(status: StatusReply) -> list[Text]:
    return [
        Text(f"{worker.instance}: {why}", style="yellow")
        for worker in status.workers
        for why in (worker.reason, worker.obeys_why)
        if why
    ]


def _cells(worker: WorkerStatus) -> list[str | Text]:
    feeling, style = worker.readiness.value, _STYLES[worker.readiness]
    if worker.silent:
        feeling, style = "silent", "red"
    return [
        worker.instance,
        worker.service,
        Text(feeling, style=style),
        Text(worker.obedience, style="green" if worker.obedience == "converged" else "red"),
        " ".join(sorted(worker.components)) or "-",
        str(worker.revision or "-"),
        f"{worker.requests / _counted_s(worker):.1f}",
        str(worker.errors),
        "-" if worker.p95_ms is None else f"{worker.p95_ms:.1f}",
        f"{worker.rss_bytes / 2**20:.0f}",
        span(worker.uptime_s),
        f"{worker.age_s:.0f} s",
    ]


def _counted_s(worker: WorkerStatus) -> float:
    """Seconds that the counts are of: the last minute, or as long as the worker is there."""
    return min(60.0, max(1.0, worker.uptime_s))
