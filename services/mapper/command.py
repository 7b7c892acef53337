"""How the offline commands of the mapper end: a result, or one error that says what to do, and an exit code.

They are started by ``trimtab mapper ...``, which hands their output through; ``--json`` prints one value.
"""

import argparse
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from services.mapper.definitions.document import DefinitionInvalid
from services.mapper.training.fit import TrainingUnavailable, Untrainable
from trimtab.contracts.errors import BusUnavailable, NoWorkers, TrimtabError
from trimtab.corpus.vectors import VectorsUnusable

FAILED, UNREACHABLE = 1, 3
"""Exit codes, as every `trimtab` command has them."""

_EXPECTED = (DefinitionInvalid, TrainingUnavailable, Untrainable, VectorsUnusable, TrimtabError)

Work = Callable[[], tuple[Any, list[str]]]
"""What is done: a value for scripts, None when the lines are for both, and lines for people."""


def report(line: str) -> None:
    """Say on stderr how far it is."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def add_json(parser: argparse.ArgumentParser) -> None:
    """Let a command be told to print for scripts."""
    parser.add_argument("--json", action="store_true", help="print one JSON value")


def finish(work: Work, *, as_json: bool) -> int:
    """Do the work, print its result and return the exit code."""
    try:
        shape, lines = work()
    except _EXPECTED as error:
        return _failed(error, as_json)
    whole = as_json and shape is not None
    _tell(_encoded(shape) if whole else "\n".join(lines))
    return 0


def _failed(error: Exception, as_json: bool) -> int:
    problem, _, remedy = str(error).partition("; ")
    if as_json:
        told = {"name": type(error).__name__, "problem": problem, "remedy": remedy}
        _tell(_encoded({"error": told}))
    report(f"error: {error}")
    return UNREACHABLE if isinstance(error, BusUnavailable | NoWorkers) else FAILED


def _tell(result: str) -> None:
    sys.stdout.write(f"{result}\n")
    sys.stdout.flush()


def _encoded(shape: Any) -> str:
    return msgspec.json.encode(shape).decode()
