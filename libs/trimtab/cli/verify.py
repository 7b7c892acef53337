"""`trimtab verify`: the checklist after a change or a rollback, measured on the requests of the last minutes."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

import typer

from trimtab.cli import options
from trimtab.cli.address import nats_url
from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import Failure, guarded
from trimtab.cli.fleet import convergence
from trimtab.cli.link import reach
from trimtab.cli.output import print_json, stdout
from trimtab.contracts.samples import AlertStatus, StatusReply

_STYLE = {"PASS": "green", "FAIL": "red", "UNKNOWN": "yellow"}


@dataclass(frozen=True)
class Line:
    """One line of the checklist."""

    name: str
    """Of the alert, or what else was looked at."""
    result: Literal["PASS", "FAIL", "UNKNOWN"]
    """UNKNOWN: too few requests to say."""
    detail: str
    """What was measured on how many requests, beside what raises the alert."""


@guarded
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ALERT]...", help="Only these, `*` allowed: 'Mapper*'."),
    ] = None,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    timeout: options.Timeout = 2.0,
    as_json: options.Json = False,
) -> None:
    """Check after a change: every worker obeys, and no alert's condition holds now.

    Ends 0 when every line passes, 1 when one fails, 4 when nothing fails but too few requests came to say so
    of an alert that was named, or of any.
    """
    status = asyncio.run(_ask(nats_url(nats), nkey_seed, timeout))
    lines = checklist(status, names or [])
    if as_json:
        print_json(lines)
    else:
        for line in lines:
            stdout().print(f"{line.result:<8}{line.name}: {line.detail}", style=_STYLE[line.result])
    code = ending(lines, named=bool(names))
    if code is not ExitCode.OK:
        raise typer.Exit(code)


def checklist(status: StatusReply, names: Sequence[str]) -> list[Line]:
    """Return the lines of a status that tells of every alert.

    Raises:
        Failure: a name fits no alert.
    """
    known = [alert.name for alert in status.alerts]
    for pattern in names:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise Failure(
                f"no alert is called {pattern!r}", f"one of: {', '.join(known)}", ExitCode.USAGE
            )
    chosen = [
        alert
        for alert in status.alerts
        if not names or any(fnmatchcase(alert.name, pattern) for pattern in names)
    ]
    return [_obedience(status), *map(_line, chosen)]


def ending(lines: Sequence[Line], *, named: bool) -> ExitCode:
    """Return the exit code of a checklist; ``named``: somebody asked for exactly these alerts."""
    results = [line.result for line in lines[1:]]
    if "FAIL" in [line.result for line in lines]:
        return ExitCode.FAILED
    if "PASS" not in results or (named and "UNKNOWN" in results):
        return ExitCode.INCONCLUSIVE
    return ExitCode.OK


def _obedience(status: StatusReply) -> Line:
    found = convergence(status)
    late = [*found["behind"], *found["silent"]]
    detail = f"revision {status.revision}, release {status.release}"
    if late:
        return Line("every worker obeys", "FAIL", f"{detail}; not {', '.join(late)}")
    return Line("every worker obeys", "PASS", f"{detail}, {len(status.workers)} workers")


def _line(alert: AlertStatus) -> Line:
    if alert.measured is None or alert.state == "unknown":
        return Line(alert.name, "UNKNOWN", f"too few requests; raised by {alert.condition}")
    detail = f"{alert.measured:.4g} on {alert.requests}; raised by {alert.condition}"
    if alert.state == "inhibited":
        return Line(alert.name, "PASS", f"{detail}; so ordered")
    failed = alert.state in ("pending", "firing")
    return Line(alert.name, "FAIL" if failed else "PASS", detail)


async def _ask(url: str, nkey_seed: Path | None, timeout_s: float) -> StatusReply:
    async with reach(url, nkey_seed) as client:
        return await client.status(timeout_s=timeout_s, every_alert=True)
