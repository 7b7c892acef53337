"""`trimtab incident write`: the post-mortem's first page, from what the deployment recorded."""

import asyncio
import dataclasses
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from trimtab.audit.incident import WRITTEN, Incident, incident
from trimtab.audit.ledger import Act, Ledger
from trimtab.cli import options, steering
from trimtab.cli.address import nats_url
from trimtab.cli.durations import seconds_of
from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import Failure, guarded
from trimtab.cli.incident import files, snapshot
from trimtab.cli.incident.page import Heading, page, summary
from trimtab.cli.incident.snapshot import Snapshot
from trimtab.cli.link import reach
from trimtab.cli.output import print_json, stderr, stdout
from trimtab.client import Client
from trimtab.contracts.audit import AuditEntry
from trimtab.contracts.errors import BusUnavailable

_SPAN = "2h"
_PLACEHOLDER = "\0metrics\0"
_TITLE_MAX = 200


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the command line says."""

    start: float
    """Unix seconds."""
    end: float
    """Unix seconds."""
    title: str
    release: str
    out: Path
    actor: str
    timeout_s: float


@dataclass(frozen=True, slots=True)
class _Done:
    """What was written."""

    path: Path
    found: Incident
    entry: AuditEntry | None
    """None: the audit did not take it."""


@guarded
def write(
    since: Annotated[
        str, typer.Option("--since", help="How far back: 90m, 2h, 1d.", metavar="SPAN")
    ] = _SPAN,
    start: Annotated[
        str, typer.Option("--from", help="Begin, ISO 8601; UTC without a zone.", metavar="TIME")
    ] = "",
    end: Annotated[
        str, typer.Option("--to", help="End, ISO 8601; default: now.", metavar="TIME")
    ] = "",
    title: Annotated[str, typer.Option("--title", help="Default: what was taken back.")] = "",
    release: Annotated[
        str,
        typer.Option(
            "--release", help="The faulting one; default: the last taken back.", metavar="NAME"
        ),
    ] = "",
    out: Annotated[
        Path, typer.Option("--out", help="Folder of the files.", file_okay=False)
    ] = Path("postmortems"),
    actor: steering.Actor = "",
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    timeout: options.Timeout = 2.0,
    as_json: options.Json = False,
) -> None:
    """Write YYYYMMDD_incident.md and its figures as JSON, and record in the audit that it was documented.

    Ends 1 when nothing happened in that time, or the audit does not take the entry.
    """
    first, last = window(since, start, end, time.time())
    asked = _Asked(first, last, title[:_TITLE_MAX], release, out, steering.who(actor), timeout)
    done = asyncio.run(_write(nats_url(nats), nkey_seed, asked))
    if as_json:
        print_json(_shape(done))
    else:
        stdout().print(f"{summary(done.found)}\n{done.path}", markup=False, soft_wrap=True)
    if done.entry is None:
        stderr().print("written, but the audit did not take its entry", style="red")
        raise typer.Exit(ExitCode.FAILED)


def window(since: str, start: str, end: str, now: float) -> tuple[float, float]:
    """Return begin and end, unix seconds.

    Raises:
        Failure: a word is no time, or the end is before the begin.
    """
    last = _moment(end) if end else now
    first = _moment(start) if start else last - seconds_of(since)
    if first >= last:
        raise Failure("the time ends before it begins", "give --from before --to", ExitCode.USAGE)
    return first, last


def _moment(text: str) -> float:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        remedy = "write 2026-11-21T17:05 or 2026-11-21T17:05:00+01:00"
        raise Failure(f"{text!r} is no time", remedy, ExitCode.USAGE) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


async def _write(url: str, nkey_seed: Path | None, asked: _Asked) -> _Done:
    async with reach(url, nkey_seed) as client:
        ledger = await Ledger.open(client.connection, "cli")
        entries = [entry async for entry in ledger.entries()]
        figures, found = await _look(client, entries, asked)
        title = asked.title or f"Incident: {summary(found)}"
        heading = Heading(title, asked.actor, asked.start, asked.end, _PLACEHOLDER)
        text = page(found, figures, heading)
        told = msgspec.json.format(msgspec.json.encode(_figures(found, figures, heading)))
        moment = found.times.acted or found.events[-1].entry.at
        path = await asyncio.to_thread(
            files.write, asked.out, moment, text, told + b"\n", _PLACEHOLDER
        )
        digest = sha256(await asyncio.to_thread(path.read_bytes)).hexdigest()
        act = _act(found, figures, asked, title, f"{path.name} sha256 {digest}")
        return _Done(path, found, await _record(ledger, act))


async def _look(
    client: Client, entries: list[AuditEntry], asked: _Asked
) -> tuple[Snapshot, Incident]:
    figures, status = await snapshot.take(client, asked.timeout_s)
    answered, why = await snapshot.answers(client, asked.start)
    if why:
        figures = dataclasses.replace(figures, missing=[*figures.missing, why])
    seen = snapshot.observed(figures, status, answered)
    found = incident(entries, asked.start, asked.end, seen, asked.release)
    if not found.events:
        raise Failure(
            "the audit holds nothing of that time",
            "look further back, for example --since 1d; `trimtab history` shows what there is",
        )
    if asked.release and not any(event.concerns(asked.release) for event in found.events):
        raise Failure(
            f"release {asked.release} got no requests in that time",
            "leave --release out, or look further back; `trimtab release list` names them",
        )
    return figures, found


def _act(found: Incident, figures: Snapshot, asked: _Asked, title: str, file: str) -> Act:
    numbers = [event.entry.number for event in found.events]
    return Act(
        actor=asked.actor,
        action=WRITTEN,
        outcome="written",
        reason=title,
        revision=figures.revision,
        operation=uuid.uuid4().hex,
        evidence=(
            file,
            f"entries {numbers[0]} to {numbers[-1]}",
            f"faulting release {found.faulting or 'none'}, now {figures.release}",
        ),
    )


async def _record(ledger: Ledger, act: Act) -> AuditEntry | None:
    try:
        return await ledger.append(act)
    except BusUnavailable:
        return None


def _figures(found: Incident, figures: Snapshot, heading: Heading) -> dict[str, Any]:
    """Return what stands beside the page: the same events, times and figures for programs; ids, no texts."""
    return {
        "title": heading.title,
        "window": {"from": heading.start, "to": heading.end},
        **told(found),
        "timeline": [
            {
                "at": event.entry.at,
                "number": event.entry.number,
                "kind": event.kind,
                "actor": event.entry.actor,
                "action": event.entry.action,
                "outcome": event.entry.outcome,
                "reason": event.entry.reason,
                "operation": event.entry.operation,
                "revision": event.entry.revision,
                "evidence": event.entry.evidence,
            }
            for event in found.events
        ],
        "explained": [answer.request_id for answer in found.answers],
        "snapshot": figures,
    }


def told(found: Incident) -> dict[str, Any]:
    """Return releases and times: unix seconds, None where nothing recorded one."""
    return {
        "summary": summary(found),
        "faulting": found.faulting,
        "replaced_by": found.replaced_by,
        "share_bp": found.share_bp,
        "open_alarms": found.open_alarms,
        "times": found.times,
        "review_due": found.review_due,
    }


def _shape(done: _Done) -> dict[str, Any]:
    return {
        "file": str(done.path),
        "metrics": str(done.path.with_suffix(".json")),
        "events": len(done.found.events),
        "audit_entry": None if done.entry is None else done.entry.number,
        **told(done.found),
    }
