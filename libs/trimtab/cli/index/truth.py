"""`trimtab index truth`: the exact nearest passages of every query, as a file under a checksum (FLAT truth)."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from trimtab.cli import judged, options
from trimtab.cli.address import nats_url
from trimtab.cli.failure import Failure, guarded
from trimtab.cli.index.asked import asked
from trimtab.cli.link import reach
from trimtab.cli.output import print_json, stdout
from trimtab.cli.questions import Count, NeededFile, read
from trimtab.client import Client
from trimtab.contracts.retrieve import EVERY_LIST, MAX_POOL, PUBLIC_TENANT
from trimtab.corpus.stdlib import COLLECTION
from trimtab.evaluation.live import Encoded, Live
from trimtab.evaluation.overlap import overlap_of
from trimtab.evaluation.queries import Query
from trimtab.evaluation.truth import TrueAnswer, UnusableTruth, read_truth, write_truth


@guarded
def truth(
    queries: NeededFile,
    out: Annotated[
        Path,
        typer.Option("--out", dir_okay=False, metavar="FILE.jsonl", callback=judged.writable),
    ],
    collection: options.Collection = COLLECTION,
    count: Count = 100_000,
    depth: Annotated[int, typer.Option("--k", min=1, max=MAX_POOL, help="Passages each.")] = 50,
    seed: judged.RandomSeed = 7,
    release: judged.ReleaseName = "",
    tenant: options.Tenant = PUBLIC_TENANT,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Write the exact answers of a file of queries, best first with cosines, and their sha256 beside them.

    A file that is there already is replaced; how much of its answers still holds is said. Texts are not written.
    """
    chosen = read(queries, count, seed)
    before = _before(out)

    async def run() -> tuple[str, list[TrueAnswer]]:
        async with reach(nats_url(nats), nkey_seed) as client:
            return await _ask(client, collection, chosen, depth, (tenant, release))

    index, answers = asyncio.run(run())
    try:
        digest = write_truth(out, answers)
    except OSError as error:
        problem = f"{out} cannot be written: {error.strerror}"
        raise Failure(problem, "name a file in a folder that exists") from None
    told = shape(index, answers, before, digest)
    if as_json:
        print_json(told)
        return
    stdout().print(f"{index}: {len(answers)} queries, sha256 {digest}", markup=False)
    if told["kept"] is not None:
        line = f"{100 * told['kept']:.1f} % of the {told['compared']} earlier answers still hold"
        stdout().print(line, markup=False)


def shape(
    index: str, answers: list[TrueAnswer], before: list[TrueAnswer], digest: str
) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    known = {answer.id: answer for answer in before}
    shares = [
        overlap_of(answer.ids, known[answer.id].ids, 10) for answer in answers if answer.id in known
    ]
    return {
        "index": index,
        "queries": len(answers),
        "sha256": digest,
        "compared": len(shares),
        "kept": sum(shares) / len(shares) if shares else None,
    }


async def _ask(
    client: Client, collection: str, queries: list[Query], depth: int, of: tuple[str, str]
) -> tuple[str, list[TrueAnswer]]:
    live = await Live.of(client, of[0], release=of[1])
    with judged.progress() as bar:
        encoded = await asked(live, queries, bar)
        task = bar.add_task("searching exactly", total=len(queries))
        answers, index = [], ""
        for query, each in zip(queries, encoded, strict=True):
            index, answer = await _exact(live, collection, query, each, depth)
            answers.append(answer)
            bar.advance(task)
    return index, answers


async def _exact(
    live: Live, collection: str, query: Query, encoded: Encoded, depth: int
) -> tuple[str, TrueAnswer]:
    reply = await live.nearest(collection, encoded.vector, depth, EVERY_LIST)
    cosines = [] if reply.signals is None else reply.signals.cosine.array()[0].tolist()
    found = TrueAnswer(
        id=query.id,
        ids=[hit.id for hit in reply.hits],
        cosines=[round(cosine, 6) for cosine in cosines],
    )
    return reply.index, found


def _before(out: Path) -> list[TrueAnswer]:
    if not out.exists():
        return []
    try:
        return read_truth(out)
    except UnusableTruth:
        return []
