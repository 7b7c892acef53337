"""What every evaluation needs: queries that say what is relevant, asked, and written down."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trimtab.cli import judged
from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import Failure
from trimtab.cli.link import reach
from trimtab.cli.questions import read
from trimtab.evaluation.live import Live
from trimtab.evaluation.queries import Query
from trimtab.evaluation.runs import Ranking, write_run
from trimtab.evaluation.searching import Answers, FrontDoor, retrieved


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


def labelled(file: Path, count: int, seed: int) -> list[Query]:
    """Return the chosen queries of a file, each of which names at least one relevant passage.

    Raises:
        Failure: one does not; a wrong command line.
    """
    queries = read(file, count, seed)
    bare = next((query.id for query in queries if not query.relevant), None)
    if bare is not None:
        raise Failure(
            f"{file.name}: query {bare} names no relevant passage",
            'write {"id": ..., "text": ..., "relevant": ["PASSAGE ID", ...]} on every line',
            ExitCode.USAGE,
            "BadQueries",
        )
    return queries


async def ask_gateway(place: Place, queries: Sequence[Query]) -> Answers:
    """Ask whole searches."""
    async with reach(place.url, place.nkey_seed) as client:
        door = FrontDoor(client, place.collection, place.tenant, place.timeout_s)
        with judged.progress() as bar:
            task = bar.add_task("searching", total=len(queries))
            return await door.ask(queries, lambda done: bar.advance(task, done))


async def ask_retriever(place: Place, queries: Sequence[Query]) -> Answers:
    """Ask the encoder and the retriever alone.

    Raises:
        Failure: a query has a context, which the gateway alone makes something of.
    """
    refuse_context(queries)
    async with reach(place.url, place.nkey_seed) as client:
        live = await Live.of(client, place.tenant, release=place.release)
        with judged.progress() as bar:
            task = bar.add_task("encoding and retrieving", total=2 * len(queries))

            def advance(done: int) -> None:
                bar.advance(task, done)

            encoded = await live.encode([query.text for query in queries], advance)
            return await retrieved(live, place.collection, queries, encoded, advance)


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
