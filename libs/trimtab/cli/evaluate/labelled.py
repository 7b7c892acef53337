"""What every evaluation needs: queries that say what is relevant, asked, and written down."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from trimtab.cli import judged
from trimtab.cli.evaluate.inforce import alone, in_force
from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import Failure
from trimtab.cli.link import reach
from trimtab.cli.questions import read
from trimtab.evaluation.live import Live
from trimtab.evaluation.queries import BadQueries, Query, choose
from trimtab.evaluation.runs import Ranking, write_run
from trimtab.evaluation.searching import Answers, FrontDoor, retrieved
from trimtab.evaluation.trained import HeldOut, held_out, read_trained

ALL = 1_000_000
"""As ``--n``: every query of the file."""

TrainedOn = Annotated[
    Path | None,
    typer.Option(
        "--trained-on",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="Articles or actors that training saw (JSON lines {article}, or one name per line): "
        "queries whose cluster is among them are left out and counted.",
    ),
]


@dataclass(frozen=True, slots=True)
class Place:
    """Which deployment, and what of it."""

    url: str
    nkey_seed: Path | None
    collection: str
    tenant: str
    release: str = ""
    """To measure single stages of; empty: the stable one."""
    timeout_s: float = 5.0


def labelled(
    file: Path, count: int, seed: int, trained_on: Path | None = None
) -> tuple[list[Query], HeldOut | None]:
    """Return the chosen queries of a file, and what was left out because training saw its article.

    Raises:
        Failure: one names no relevant passage, or, where training is known, no article: a wrong command
            line; training saw the articles of all of them: inconclusive.
    """
    queries = read(file, ALL, seed)
    bare = next((query.id for query in queries if not query.relevant), None)
    if bare is not None:
        raise Failure(
            f"{file.name}: query {bare} names no relevant passage",
            'write {"id": ..., "text": ..., "relevant": ["PASSAGE ID", ...]} on every line',
            ExitCode.USAGE,
            "BadQueries",
        )
    kept = None if trained_on is None else _held_out(queries, trained_on)
    return choose(queries if kept is None else kept.queries, count, seed), kept


def _held_out(queries: list[Query], trained_on: Path) -> HeldOut:
    try:
        kept = held_out(queries, read_trained(trained_on))
    except BadQueries as error:
        problem, _, remedy = str(error).partition("; ")
        raise Failure(problem, remedy or "see --help", ExitCode.USAGE, "BadQueries") from None
    if not kept.queries:
        raise judged.inconclusive(
            f"training saw the articles of all {kept.left_out} queries",
            "give queries of other articles: recall on these says nothing of what people ask",
        )
    return kept


async def ask_gateway(place: Place, queries: Sequence[Query]) -> Answers:
    """Ask whole searches."""
    async with reach(place.url, place.nkey_seed) as client:
        found = await in_force(client, place.tenant, place.collection, place.release)
        door = FrontDoor(client, place.collection, place.tenant, place.timeout_s)
        with judged.progress() as bar:
            task = bar.add_task("searching", total=len(queries))
            answers = await door.ask(queries, lambda done: bar.advance(task, done))
        answers.in_force = found
        return answers


async def ask_retriever(place: Place, queries: Sequence[Query]) -> Answers:
    """Ask the encoder and the retriever alone.

    Raises:
        Failure: a query has a context, which the gateway alone makes something of.
    """
    refuse_context(queries)
    async with reach(place.url, place.nkey_seed) as client:
        found = await in_force(client, place.tenant, place.collection, place.release)
        live = await Live.of(client, place.tenant, release=place.release)
        with judged.progress() as bar:
            task = bar.add_task("encoding and retrieving", total=2 * len(queries))

            def advance(done: int) -> None:
                bar.advance(task, done)

            encoded = await live.encode([query.text for query in queries], advance)
            answers = await retrieved(live, place.collection, queries, encoded, advance)
        answers.in_force = alone(found)
        return answers


def refuse_context(queries: Sequence[Query]) -> None:
    """Refuse queries with a context where single stages are asked."""
    if any(query.context for query in queries):
        raise Failure(
            "some queries have a context, which only a whole search makes something of",
            "leave --no-rerank out, or the contexts",
            ExitCode.USAGE,
        )


def refuse_nothing_found(run: Sequence[Ranking]) -> None:
    """Refuse to judge a run in which no query found anything relevant at all.

    Raises:
        Failure: inconclusive: the ids are of another collection, most likely.
    """
    if not any(set(each.top_k).intersection(each.relevant) for each in run):
        raise judged.inconclusive(
            "no query found any relevant passage",
            "check that the relevant ids are ids of this collection",
        )


def keep(file: Path | None, run: Sequence[Ranking]) -> None:
    """Write a run where one was asked for.

    Raises:
        Failure: the file cannot be written.
    """
    if file is None:
        return
    try:
        write_run(file, run)
    except OSError as error:
        problem = f"{file} cannot be written: {error.strerror}"
        raise Failure(problem, "name a file in a folder that exists") from None
