"""The figures of a snapshot as Markdown: what is in force, who runs what and how it goes, what alarms. Pure."""

from collections.abc import Iterator

from trimtab.cli.incident.markdown import clock, plain, table
from trimtab.cli.incident.snapshot import Snapshot


def measured(snapshot: Snapshot, file: str) -> Iterator[str]:
    """Yield the lines; ``file`` is the name of the file that has all of it."""
    yield f"At {clock(snapshot.at)}: revision {snapshot.revision}, release {snapshot.release}. All figures: `{file}`."
    yield ""
    yield from (f"- {plain(line)}" for line in _in_force(snapshot))
    yield ""
    rows = (
        (
            row.instance,
            row.readiness,
            row.version,
            str(row.revision or "-"),
            plain(" ".join(row.components)) or "-",
            "-" if row.requests is None else str(row.requests),
            "-" if row.errors is None else str(row.errors),
            "-" if row.p95_ms is None else f"{row.p95_ms:.1f}",
        )
        for row in snapshot.workers
    )
    yield from table(
        ("worker", "is", "version", "obeys", "runs", "req/min", "errors", "p95 ms"), rows
    )
    known = [alert for alert in snapshot.alerts if alert.measured is not None]
    if known:
        yield ""
        told = (
            (a.name, a.state, f"{a.measured:.4g}", str(a.requests), plain(a.condition))
            for a in known
        )
        yield from table(("alarm", "state", "measured", "on", "condition"), told)


def _in_force(snapshot: Snapshot) -> Iterator[str]:
    yield from snapshot.missing
    yield from (f"switched: {line}" for line in snapshot.switches)
    yield from (f"set: {line}" for line in snapshot.settings)
    if snapshot.canary:
        yield f"canary: {snapshot.canary}"
    if snapshot.frozen:
        yield f"automation stopped by {snapshot.frozen}"
