"""The file of queries that measuring commands take: its option, and what is said of a bad one."""

from pathlib import Path
from typing import Annotated

import typer

from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import Failure
from trimtab.evaluation import queries
from trimtab.evaluation.queries import BadQueries, Query

_QUERIES = typer.Option(
    "--queries",
    metavar="FILE",
    exists=True,
    dir_okay=False,
    help="Held-out queries: JSON lines {id, text, relevant?, cluster?}, or one text per line.",
)

QueryFile = Annotated[Path | None, _QUERIES]

NeededFile = Annotated[Path, _QUERIES]

Count = Annotated[int, typer.Option("--n", min=1, help="Most queries of the file, by the seed.")]


def read(file: Path, count: int, seed: int) -> list[Query]:
    """Return the chosen queries of a file.

    Raises:
        Failure: it is no file of queries; a wrong command line.
    """
    try:
        return queries.choose(queries.read(file), count, seed)
    except BadQueries as error:
        problem, _, remedy = str(error).partition("; ")
        raise Failure(
            problem, remedy or "give held-out queries", ExitCode.USAGE, "BadQueries"
        ) from None
