"""The options that every benchmark has: --rounds, --requests, --quick, --json."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

QUICK_ROUNDS, QUICK_REQUESTS = 2, 200


@dataclass(frozen=True, slots=True)
class Arguments:
    """What the caller asked for."""

    rounds: int
    """Each gives one value of every figure."""
    requests: int
    """Per variant and round."""
    quick: bool
    """Only to see that the command runs: its figures mean little."""
    json: Path | None
    """Where the report is written as JSON."""
    command: str
    """What was typed, for the report."""


def read(
    benchmark: str,
    description: str | None,
    *,
    rounds: int,
    requests: int,
    argv: Sequence[str] | None = None,
) -> Arguments:
    """Parse the command line; the defaults are the benchmark's own."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{benchmark}", description=description
    )
    parser.add_argument("--rounds", type=_positive, default=rounds, help="default %(default)s")
    parser.add_argument(
        "--requests",
        type=_positive,
        default=requests,
        help="per variant and round, default %(default)s",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"--rounds {QUICK_ROUNDS} --requests {QUICK_REQUESTS}: only to see that it runs",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the report there")
    given = parser.parse_args(argv)
    if given.quick:
        given.rounds = min(given.rounds, QUICK_ROUNDS)
        given.requests = min(given.requests, QUICK_REQUESTS)
    typed = shlex.join(without_json(sys.argv[1:] if argv is None else argv))
    return Arguments(
        given.rounds,
        given.requests,
        given.quick,
        given.json,
        f"python -m benchmarks.{benchmark} {typed}".rstrip(),
    )


def without_json(typed: Sequence[str]) -> list[str]:
    """Leave out where the report goes: a path of one machine, and nothing of the measurement."""
    kept, words = [], iter(typed)
    for word in words:
        if word == "--json":
            next(words, None)
        elif not word.startswith("--json="):
            kept.append(word)
    return kept


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value
