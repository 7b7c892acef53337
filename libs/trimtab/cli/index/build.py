"""`trimtab index build`: trains the index of a collection outside the workers and makes a component of it."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from trimtab.artifacts.manifest import read_manifest
from trimtab.artifacts.store import ArtifactStore
from trimtab.cli import judged, options
from trimtab.cli.address import nats_url
from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import Failure, guarded
from trimtab.cli.index import built as result
from trimtab.cli.index import making
from trimtab.cli.index.builder import run_builder
from trimtab.cli.index.fetch import fetch
from trimtab.cli.link import reach
from trimtab.cli.output import stderr
from trimtab.cli.questions import Count, QueryFile, read
from trimtab.client import Client
from trimtab.contracts.retrieve import PUBLIC_TENANT
from trimtab.evaluation.gates import Gate, all_hold
from trimtab.evaluation.live import Live
from trimtab.evaluation.queries import Query
from trimtab.evaluation.vectorbundle import write_bundle

_GIVE_QUERIES = "give --queries with at least 20 that people asked, not passages of the collection"

_OF_A_DEPLOYMENT = {
    "queries": "--queries",
    "count": "--n",
    "release": "--release",
    "tenant": "--tenant",
    "keep": "--keep",
}
"""Parameter -> option: what is read from, or of, a running deployment."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What to build from, and where to."""

    collection: str
    queries: list[Query]
    release: str
    tenant: str
    words: list[str]
    """Options for the builder."""
    name: str
    """``name@version`` of the component; empty: the next version of the one that serves."""
    out: Path
    """Folder that the component's folder is put in."""
    keep: Path | None
    """Folder to keep the vectors and queries in."""


@guarded
def build(
    context: typer.Context,
    collection: making.CollectionArgument,
    queries: QueryFile = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle", exists=True, file_okay=False, help="Vectors kept earlier, not a deployment."
        ),
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(
            "--base", exists=True, file_okay=False, help="Component folder, with --bundle."
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", file_okay=False, help="Folder to put the component in.")
    ] = Path("components"),
    name: Annotated[
        str, typer.Option("--name", help="name@version; default: the next of what serves.")
    ] = "",
    keep: Annotated[
        Path | None, typer.Option("--keep", help="Keep vectors and queries in this new folder.")
    ] = None,
    push: Annotated[bool, typer.Option("--push", help="Store it where workers find it.")] = False,
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
    release: judged.ReleaseName = "",
    tenant: options.Tenant = PUBLIC_TENANT,
    report: judged.ReportFile = None,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Train the index of a collection, measure it against an exact search, and write it as a component.

    Exit code 1 when a gate fails: overlap@10 and R@5 on the held-out --queries, norms, imbalance. With --push it
    is stored only when all hold, and 4 says that fewer than 20 queries are held out: nothing unjudged is
    stored. No worker loads it before a release names it.
    """
    _check(context, collection, bundle, base, judged_by=queries, push=push)
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
    chosen = read(queries, count, seed) if queries else []
    asked = Asked(collection, chosen, release, tenant, words, name, out, keep)

    async def run() -> tuple[dict[str, Any], list[Gate]]:
        async with _link(nats, nkey_seed, needed=bundle is None or push) as client:
            with judged.progress() as bar:
                if bundle is not None and base is not None:
                    made = _from_folder(asked, bundle, base, bar)
                else:
                    made = await from_live(client, asked, bar)
            found = result.gates(made, least_overlap, most_loss, most_imbalance)
            if push and all_hold(found) and not made["unjudged"]:
                store = await ArtifactStore.open(client.connection)
                await store.push(out / made["component"])
                made["pushed"] = True
            return made, found

    made, found = asyncio.run(run())
    result.write(report, made, found)
    if push and made["unjudged"]:
        _refuse_unjudged(made, found)
    if not as_json:
        result.show(made)
        if made["unjudged"]:
            stderr().print(made["unjudged"], style="yellow", markup=False, soft_wrap=True)
    judged.finish(made, found, as_json=as_json)


def _check(
    context: typer.Context,
    collection: str,
    bundle: Path | None,
    base: Path | None,
    *,
    judged_by: Path | None,
    push: bool,
) -> None:
    """Refuse what does not go together before anything is asked."""
    if (bundle is None) != (base is None):
        problem = "--bundle and --base belong together"
        raise Failure(problem, "give both, or neither", ExitCode.USAGE)
    if bundle is not None:
        _refuse_beside_bundle(context, collection, bundle)
    elif push and judged_by is None:
        raise judged.inconclusive("without --queries nothing is judged", _GIVE_QUERIES)


def _refuse_unjudged(made: dict[str, Any], found: list[Gate]) -> None:
    """End 4 where all else holds: what nobody judged is not stored."""
    if all_hold(found):
        unknown = judged.inconclusive(f"not stored: {made['unjudged']}", _GIVE_QUERIES)
        unknown.result = {"ok": False, "gates": [gate.shape() for gate in found], **made}
        raise unknown


def _was_given(context: typer.Context, parameter: str) -> bool:
    source = context.get_parameter_source(parameter)
    return source is not None and source.name == "COMMANDLINE"


def _refuse_beside_bundle(context: typer.Context, collection: str, bundle: Path) -> None:
    """A folder of vectors says itself whose they are, and brings its own queries."""
    given = [name for name in _OF_A_DEPLOYMENT if _was_given(context, name)]
    if given:
        words = ", ".join(_OF_A_DEPLOYMENT[name] for name in given)
        problem = f"{words} means nothing beside --bundle, which brings its own vectors and queries"
        raise Failure(problem, "leave it out, or build from the deployment", ExitCode.USAGE)
    found = read_manifest(bundle).reference.partition("@")[0]
    if found != collection:
        problem = f"{bundle} holds the vectors of {found}, not of {collection}"
        raise Failure(problem, f"write `trimtab index build {found}`", ExitCode.USAGE)


@asynccontextmanager
async def _link(nats: str | None, nkey_seed: Path | None, *, needed: bool) -> AsyncIterator[Any]:
    if not needed:
        yield None
        return
    async with reach(nats_url(nats), nkey_seed) as client:
        yield client


def _from_folder(asked: Asked, bundle: Path, base: Path, bar: Progress) -> dict[str, Any]:
    reference = asked.name or making.next_version(read_manifest(base).reference)
    made = run_builder(bundle, base, asked.out / reference, reference, asked.words, bar)
    return {**made, "pushed": False, "unjudged": result.unjudged(made)}


async def from_live(client: Client, asked: Asked, bar: Progress) -> dict[str, Any]:
    """Read what is to be indexed from a running deployment and build it; raises what both do."""
    live = await Live.of(client, asked.tenant, release=asked.release)
    with tempfile.TemporaryDirectory(prefix="trimtab-index-") as scratch:
        given = await fetch(
            client, live, asked.collection, asked.queries, Path(scratch) / "base", bar
        )
        kept = asked.keep or Path(scratch) / "vectors"
        try:
            write_bundle(kept, given.bundle)
        except FileExistsError:
            raise Failure(f"{kept} exists already", "name a new folder to --keep") from None
        reference = asked.name or making.next_version(given.reference)
        made = await asyncio.to_thread(
            run_builder, kept, given.base, asked.out / reference, reference, asked.words, bar
        )
    return {**made, "pushed": False, "unjudged": result.unjudged(made)}
