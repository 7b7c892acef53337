"""`trimtab release gate`: measures a release before it gets requests, and keeps the reports beside it."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from trimtab.cli import options, steering
from trimtab.cli.address import nats_url
from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import Failure, guarded
from trimtab.cli.link import reach
from trimtab.cli.output import print_json, stdout
from trimtab.client import Client
from trimtab.contracts.component import Release
from trimtab.contracts.errors import UnknownRelease
from trimtab.contracts.gates import (
    Gate,
    GateReport,
    ProbedMap,
    ProbedSearch,
    ProbeMap,
    ProbeSearch,
)
from trimtab.contracts.orders import Order, RecordGateCommand
from trimtab.contracts.pipeline import MapCall
from trimtab.control.gates import shortfall
from trimtab.control.store import ControlStore
from trimtab.evaluation import golden
from trimtab.evaluation.golden import BadCases, Cases

_AT_ONCE = 4
"""Probes in flight: a measurement must not crowd out requests."""

C = TypeVar("C")
A = TypeVar("A")


@guarded
def gate(
    name: Annotated[str, typer.Argument(help="Release.", metavar="RELEASE")],
    cases: Annotated[
        Path,
        typer.Option("--cases", help="Golden cases, JSON lines.", exists=True, dir_okay=False),
    ],
    collection: options.Collection = "stdlib",
    only: Annotated[
        list[Gate] | None, typer.Option("--gate", help="Only this one; repeatable.")
    ] = None,
    reason: steering.Reason = "",
    actor: steering.Actor = "",
    dry_run: steering.DryRun = False,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Measure norms, index and golden cases of exactly this release; ends 1 when one does not pass."""
    known = _read(cases)
    wanted = [one for one in golden.gates_of(known) if not only or one in only]
    if not wanted:
        remedy = "search cases measure norms, index and golden; quality: `trimtab mapper quality validate`"
        raise Failure("these cases measure no such gate", remedy)
    manner = (reason, steering.who(actor), dry_run)
    reports = asyncio.run(_run(nats_url(nats), nkey_seed, name, known, collection, wanted, manner))
    failed = {report.gate: why for report in reports if (why := shortfall(report))}
    if as_json:
        print_json([{"report": r, "shortfall": failed.get(r.gate, "")} for r in reports])
    else:
        _show(reports, failed)
    if failed:
        raise typer.Exit(ExitCode.FAILED)


async def _run(
    url: str,
    nkey_seed: Path | None,
    name: str,
    cases: Cases,
    collection: str,
    wanted: Sequence[Gate],
    manner: tuple[str, str, bool],
) -> list[GateReport]:
    async with reach(url, nkey_seed) as client:
        state = (await (await ControlStore.open(client.connection)).read()).state
        if name not in state.releases:
            raise UnknownRelease(name, tuple(sorted(state.releases)))
        release, stable = state.releases[name], state.releases[state.stable]
        reports = await _Measurement(client, cases, collection).reports(release, stable, wanted)
        for report in reports:
            await _record(client, report, *manner)
    return reports


class _Measurement:
    """Asks releases the cases."""

    def __init__(self, client: Client, cases: Cases, collection: str) -> None:
        self._client, self._cases, self._collection = client, cases, collection

    async def reports(
        self, release: Release, stable: Release, wanted: Sequence[Gate]
    ) -> list[GateReport]:
        searches, maps = self._cases.searches, self._cases.maps
        found = await self._search(release)
        figures: dict[Gate, dict[str, float]] = {}
        if searches:
            figures[Gate.NORMS] = golden.norms(found)
            figures[Gate.INDEX] = golden.index(searches, found)
        if Gate.GOLDEN in wanted:
            figures[Gate.GOLDEN] = {}
            if searches:
                figures[Gate.GOLDEN] |= golden.searched(searches, await self._search(stable), found)
            if maps:
                before, after = await self._map(stable), await self._map(release)
                figures[Gate.GOLDEN] |= golden.mapped(maps, before, after)
        return [self._report(release, gate, figures[gate]) for gate in wanted]

    def _report(self, release: Release, gate: Gate, figures: dict[str, float]) -> GateReport:
        golden_cases = len(self._cases.maps) if gate is Gate.GOLDEN else 0
        return GateReport(
            gate=gate,
            release=release.name,
            release_hash=release.hash,
            cases=len(self._cases.searches) + golden_cases,
            cases_hash=self._cases.content_hash,
            figures=figures,
            at=time.time(),
        )

    async def _search(self, release: Release) -> list[ProbedSearch]:
        async def ask(case: golden.SearchCase) -> ProbedSearch:
            return await self._client.probe_search(
                ProbeSearch(
                    release=release.name,
                    release_hash=release.hash,
                    collection=self._collection,
                    text=case.text,
                )
            )

        return await _each(self._cases.searches, ask)

    async def _map(self, release: Release) -> list[ProbedMap]:
        async def ask(case: golden.MapCase) -> ProbedMap:
            call = MapCall(output=case.output, detector=case.detector)
            return await self._client.probe_map(
                ProbeMap(release=release.name, release_hash=release.hash, call=call)
            )

        return await _each(self._cases.maps, ask)


async def _each(cases: Sequence[C], ask: Callable[[C], Awaitable[A]]) -> list[A]:
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(case: C) -> A:
        async with places:
            return await ask(case)

    return list(await asyncio.gather(*(one(case) for case in cases)))


async def _record(
    client: Client, report: GateReport, reason: str, actor: str, dry_run: bool
) -> None:
    await client.order(
        Order(
            operation=uuid.uuid4().hex,
            command=RecordGateCommand(report=report),
            actor=actor,
            reason=reason or f"{report.cases} cases",
            dry_run=dry_run,
        )
    )


def _read(cases: Path) -> Cases:
    try:
        return golden.read_cases(cases)
    except BadCases as error:
        problem, _, remedy = str(error).rpartition("; ")
        raise Failure(problem, remedy) from None


def _show(reports: Sequence[GateReport], failed: dict[Gate, str]) -> None:
    for report in reports:
        why = failed.get(report.gate)
        told = "  ".join(f"{name} {value:.6g}" for name, value in sorted(report.figures.items()))
        style = "red" if why else "green"
        stdout().print(f"{report.gate}: {why or 'passes'}", style=style)
        stdout().print(f"  {report.cases} cases  {told}", markup=False, soft_wrap=True)
