"""Golden cases through a running deployment, over the bus: exactly one release, whatever its weight."""

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.mapper.quality.cases import GoldenCase
from services.mapper.quality.scoring import Answer
from trimtab.client import Client
from trimtab.contracts.component import Release
from trimtab.contracts.errors import (
    BusUnavailable,
    InvalidCommand,
    NoWorkers,
    TrimtabError,
    UnknownRelease,
)
from trimtab.contracts.gates import GateReport, ProbeMap
from trimtab.contracts.mapping import MapReply
from trimtab.contracts.orders import Order, RecordGateCommand
from trimtab.contracts.pipeline import MapCall
from trimtab.control.store import ControlStore

_UNHEARD = (BusUnavailable, NoWorkers)
"""Nobody answered at all: that says nothing about a case."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What came back."""

    answers: list[Answer]
    """One per case, in their order."""
    versions: dict[str, list[str]]
    """What answered: part -> the versions of it that were seen; more than one means a fleet in between."""


async def chosen(client: Client, name: str) -> Release:
    """Return a release by name, or the stable one.

    Raises:
        UnknownRelease: there is none of that name.
    """
    state = (await (await ControlStore.open(client.connection)).read()).state
    if name and name not in state.releases:
        raise UnknownRelease(name, tuple(sorted(state.releases)))
    return state.releases[name or state.stable]


async def answers(
    client: Client,
    release: Release,
    cases: Sequence[GoldenCase],
    taxonomy: str,
    at_once: int,
    report: Callable[[str], None],
) -> Heard:
    """Ask every case of one release, ``at_once`` at a time.

    Raises:
        InvalidCommand: the gateway is of a version that does not tell who decided.
        NoWorkers: nobody serves the release.
        BusUnavailable: NATS is gone.
    """
    places, replies, done = asyncio.Semaphore(at_once), list[MapReply](), 0

    async def ask(case: GoldenCase) -> Answer:
        nonlocal done
        async with places:
            probe = ProbeMap(
                release=release.name,
                release_hash=release.hash,
                call=MapCall(output=case.output, detector=case.detector, taxonomy=taxonomy),
            )
            answer, reply = await _one(client, probe)
        replies.extend([reply] if reply is not None else [])
        done += 1
        if done % 100 == 0:
            report(f"{done} of {len(cases)} cases")
        return answer

    found = list(await asyncio.gather(*map(ask, cases)))
    return Heard(found, _versions(replies))


async def record(client: Client, report: GateReport, actor: str, reason: str) -> None:
    """Have the controller keep a report beside its release, in the state and in the audit.

    Raises:
        NoWorkers: no controller runs.
        RemoteError: it refused.
    """
    await client.order(
        Order(
            operation=uuid.uuid4().hex,
            command=RecordGateCommand(report=report),
            actor=actor,
            reason=reason or f"{report.cases} golden cases of the mapper",
        )
    )


async def _one(client: Client, probe: ProbeMap) -> tuple[Answer, MapReply | None]:
    began = time.perf_counter()
    try:
        probed = await client.probe_map(probe)
    except _UNHEARD:
        raise
    except TrimtabError as error:
        return Answer((), None, None, _ms(began), type(error).__name__), None
    took_ms, reply = _ms(began), probed.answer
    if reply is None:
        raise InvalidCommand("the gateway does not tell who decided; bring it to this version")
    told = Answer(tuple(reply.taxonomy), reply.decided_by, reply.fallback_reason, took_ms)
    return told, reply


def _versions(replies: Sequence[MapReply]) -> dict[str, list[str]]:
    seen: dict[str, set[str]] = {}
    for reply in replies:
        for part, version in reply.versions.items():
            if part != "detector":  # differs by case, and its hash is in that of all detectors
                seen.setdefault(part, set()).add(version)
    return {part: sorted(found) for part, found in sorted(seen.items())}


def _ms(began: float) -> float:
    return 1000 * (time.perf_counter() - began)
