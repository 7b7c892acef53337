"""`trimtab index rebuild`: the index of a collection made anew beside the live one, verified, then swapped in."""

import asyncio
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

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
from trimtab.cli.index.swapping import Swap
from trimtab.cli.link import reach
from trimtab.cli.output import print_json, stderr, stdout
from trimtab.cli.questions import Count, NeededFile, read
from trimtab.client import Client
from trimtab.contracts.retrieve import PUBLIC_TENANT
from trimtab.evaluation.gates import Gate, all_hold
from trimtab.evaluation.live import Live
from trimtab.evaluation.truth import read_truth


@dataclass(frozen=True, slots=True)
class Limits:
    """What the new index must keep to."""

    overlap: float
    loss_pp: float
    imbalance: float


@dataclass
class Rebuilt:
    """How far it came."""

    built: dict[str, Any]
    """What the builder says."""
    gates: list[Gate]
    """All that were judged."""
    state: str = "refused"
    """``refused``, ``dry_run``, ``loaded``, ``swapped`` or ``lagging``."""
    release: str = ""
    """The new release; empty before it was made."""
    previous: str = ""
    """What served before."""
    workers: list[str] | None = None
    """Retrievers that hold it beside the live one."""
    proof: dict[str, Any] | None = None
    """The verification beside the live one."""
    revision: int = 0
    """At which it serves."""

    @property
    def ok(self) -> bool:
        """Whether everything that was asked for was done."""
        return self.state in ("dry_run", "loaded", "swapped")

    def shape(self) -> dict[str, Any]:
        """Return it for scripts."""
        return {
            "ok": self.ok,
            "state": self.state,
            "gates": [gate.shape() for gate in self.gates],
            "release": self.release,
            "previous": self.previous,
            "workers": self.workers,
            "proof": self.proof,
            "revision": self.revision,
            **self.built,
        }


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
    _show(done, as_json=as_json)
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
        done = await self._build()
        if not all_hold(done.gates) or dry_run:
            done.state = "dry_run" if dry_run and all_hold(done.gates) else "refused"
            return done
        folder = self.asked.out / done.built["component"]
        await (await ArtifactStore.open(self.client.connection)).push(folder)
        await self._load(done, load_s)
        await self._prove(done, folder)
        if not all_hold(done.gates):
            return done
        done.state = "loaded"
        if swap:
            outcome, reached = await self.by.promote(done.release, wait_s)
            done.revision = outcome.revision
            done.state = "swapped" if reached.status == "converged" else "lagging"
        return done

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


def _show(done: Rebuilt, *, as_json: bool) -> None:
    if as_json:
        print_json(done.shape())
        return
    result.show(done.built)
    judged.show_gates(done.gates)
    said = {
        "refused": "refused: what serves goes on serving",
        "dry_run": "dry run: nothing was stored, nothing changed",
        "loaded": f"loaded beside the live one; `trimtab canary start {done.release}` ramps it",
        "swapped": f"{done.release} serves since revision {done.revision}; `trimtab rollback` "
        f"returns to {done.previous}",
        "lagging": f"written at revision {done.revision}, but not every worker obeys; `trimtab status`",
    }
    stdout().print(said[done.state], markup=False, soft_wrap=True)
