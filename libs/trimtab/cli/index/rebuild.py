"""`trimtab index rebuild`: the index of a collection made anew beside the live one, verified, then swapped in."""

import asyncio
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from trimtab.artifacts.store import ArtifactStore
from trimtab.cli import judged, options, steering
from trimtab.cli.address import nats_url
from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import guarded
from trimtab.cli.index import built as result
from trimtab.cli.index import making
from trimtab.cli.index.build import Asked, from_live
from trimtab.cli.index.proving import prove
from trimtab.cli.index.rebuilt import Rebuilt, show
from trimtab.cli.index.swapping import Swap, refuse_swap
from trimtab.cli.link import reach
from trimtab.cli.output import stderr
from trimtab.cli.questions import Count, NeededFile, read
from trimtab.client import Client
from trimtab.contracts.errors import TrimtabError
from trimtab.contracts.retrieve import PUBLIC_TENANT
from trimtab.control.effective import Controls, chosen
from trimtab.control.store import ControlStore
from trimtab.evaluation.gates import all_hold
from trimtab.evaluation.live import Live
from trimtab.evaluation.truth import read_truth


@dataclass(frozen=True, slots=True)
class Limits:
    """What the new index must keep to."""

    overlap: float
    loss_pp: float
    imbalance: float


@guarded
def rebuild(
    collection: making.CollectionArgument,
    queries: NeededFile,
    kind: making.KindOption = None,
    nlist: making.NlistOption = None,
    nlist_per_sqrt: making.RuleOption = None,
    nprobe: making.NprobeOption = None,
    restarts: making.RestartsOption = None,
    pq_parts: making.PartsOption = None,
    pq_bits: making.BitsOption = None,
    opq: making.RotationOption = None,
    hnsw_m: making.NeighboursOption = None,
    ef_construction: making.CareOption = None,
    ef_search: making.EffortOption = None,
    count: Count = 500,
    least_overlap: making.OverlapGate = 0.95,
    most_loss: making.LossGate = 0.5,
    most_imbalance: making.ImbalanceGate = 2.0,
    seed: judged.RandomSeed = 7,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Build and judge, store nothing, change nothing.")
    ] = False,
    swap: Annotated[
        bool, typer.Option("--swap/--no-swap", help="Let it serve once it is verified.")
    ] = True,
    load_timeout: Annotated[
        float, typer.Option("--load-timeout", min=1.0, help="Seconds until all must have loaded.")
    ] = 600.0,
    wait: steering.Wait = 30.0,
    reason: steering.Reason = "",
    actor: steering.Actor = "",
    tenant: options.Tenant = PUBLIC_TENANT,
    report: judged.ReportFile = None,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Build the next version of the index, load it beside the live one, verify it, swap the release.

    Nothing changes for anybody until every gate holds; exit code 1 and the reasons when one does not.
    `trimtab rollback` returns to the index before, which stays loaded.
    """
    words = making.words(
        kind=kind,
        nlist=nlist,
        nlist_per_sqrt=nlist_per_sqrt,
        nprobe=nprobe,
        restarts=restarts,
        pq_parts=pq_parts,
        pq_bits=pq_bits,
        opq=opq,
        hnsw_m=hnsw_m,
        ef_construction=ef_construction,
        ef_search=ef_search,
        seed=seed,
    )
    chosen = read(queries, count, seed)
    limits = Limits(least_overlap, most_loss, most_imbalance)

    async def run(scratch: str) -> Rebuilt:
        asked = Asked(collection, chosen, "", tenant, words, "", Path(scratch), None)
        async with reach(nats_url(nats), nkey_seed) as client:
            by = Swap(client, steering.who(actor), reason or f"index rebuild {collection}")
            flow = _Flow(client, asked, limits, by, seed)
            return await flow.run(dry_run, swap, load_timeout, wait)

    with tempfile.TemporaryDirectory(prefix="trimtab-index-") as scratch:
        done = asyncio.run(run(scratch))
    result.write(report, done.built, done.gates)
    show(done, as_json=as_json)
    if not done.ok:
        raise typer.Exit(ExitCode.FAILED)


@dataclass(frozen=True)
class _Flow:
    client: Client
    asked: Asked
    limits: Limits
    by: Swap
    seed: int

    async def run(self, dry_run: bool, swap: bool, load_s: float, wait_s: float) -> Rebuilt:
        controls = await (await ControlStore.open(self.client.connection)).read()
        if swap and not dry_run:
            refuse_swap(controls.state)
        began = time.monotonic()
        done = await self._build()
        done.took_s["build"] = round(time.monotonic() - began, 3)
        if not all_hold(done.gates) or dry_run:
            done.state = "dry_run" if dry_run and all_hold(done.gates) else "refused"
            return done
        await self._beside(done, load_s)
        if not all_hold(done.gates):
            return done
        done.state = "loaded"
        if swap:
            await self._swap(done, controls, wait_s)
        return done

    async def _beside(self, done: Rebuilt, load_s: float) -> None:
        """Store it, load it beside the live one, verify it; the release of one that fails is deleted."""
        folder = self.asked.out / done.built["component"]
        with done.phase("store"):
            await (await ArtifactStore.open(self.client.connection)).push(folder)
        try:
            with done.phase("load"):
                await self._load(done, load_s)
            with done.phase("verify"):
                await self._prove(done, folder)
        except BaseException:
            # Ctrl-C, too: asyncio cancels this task once, and what it awaits from then on is done.
            await self._take_back(done)
            raise
        if not all_hold(done.gates):
            await self._take_back(done)

    async def _take_back(self, done: Rebuilt) -> None:
        """Delete the release, or say aloud that it stays: why it is to go must not be lost over it."""
        if not done.release:
            return
        try:
            await self.by.delete(done.release)
            done.deleted = True
        except BaseException as error:  # noqa: BLE001 - also a second Ctrl-C: it ends with the first reason
            why = error.detail if isinstance(error, TrimtabError) else type(error).__name__
            stderr().print(
                f"{done.release} is not deleted and stays loaded: {why}; "
                f"`trimtab release delete {done.release}` deletes it",
                markup=False,
                soft_wrap=True,
            )

    async def _swap(self, done: Rebuilt, before: Controls, wait_s: float) -> None:
        with done.phase("swap"):
            outcome, reached = await self.by.promote(done.release, wait_s)
        done.revision = outcome.revision
        done.state = "swapped" if reached.status == "converged" else "lagging"
        done.spare = before.state.previous or ""
        unset = msgspec.structs.replace(before.release, settings={})
        found = chosen(before, "retriever.nprobe", unset, now=time.time())
        done.nprobe_set = None if found is None else int(found)

    async def _build(self) -> Rebuilt:
        name = await self._free_version()
        with judged.progress() as bar:
            made = await from_live(self.client, replace(self.asked, name=name), bar)
        held_out = made["overlap"]["queries"] if made["overlap"] else 0
        if held_out < result.FEWEST:
            raise judged.inconclusive(
                f"{held_out} queries are held out, fewer than {result.FEWEST}",
                "give a file of queries that people asked, not passages of the collection",
            )
        limits = self.limits
        gates = result.gates(made, limits.overlap, limits.loss_pp, limits.imbalance)
        return Rebuilt(made, gates)

    async def _free_version(self) -> str:
        """Return the next version that nobody stored yet: one that was refused keeps its number."""
        live = await Live.of(self.client, self.asked.tenant)
        store = await ArtifactStore.open(self.client.connection)
        name = making.next_version(live.release.retrieve)
        while await store.manifest(name) is not None:
            name = making.next_version(name)
        return name

    async def _load(self, done: Rebuilt, load_s: float) -> None:
        live = await Live.of(self.client, self.asked.tenant)
        component = done.built["component"]
        done.previous = live.release.name
        release = component.replace("@", "-").lower()
        made = await self.by.create(live.release, release, component)
        done.release = made.name
        stderr().print(f"waiting until every retriever has loaded {component}", markup=False)
        done.workers = await self.by.loaded(component, load_s)

    async def _prove(self, done: Rebuilt, folder: Path) -> None:
        truth = done.built["record"]["truth"]
        golden = read_truth(folder / truth) if truth else []
        live = await Live.of(self.client, self.asked.tenant)
        new = await Live.of(self.client, self.asked.tenant, release=done.release)
        proof = await prove(live, new, self.asked.collection, self.asked.queries, golden, self.seed)
        done.proof = proof.shape()
        done.gates += proof.gates(self.limits.overlap, -self.limits.loss_pp)
