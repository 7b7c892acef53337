"""Where output goes: results to stdout, one JSON value with ``--json``; progress and errors to stderr."""

from typing import Any

import msgspec
from rich.console import Console

_UNCUT = 400
"""Columns of output that goes into a file or a pipe."""


def stdout() -> Console:
    """Return the console of results; plain text, never cut, when it is not a terminal."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_UNCUT)


def stderr() -> Console:
    """Return the console of progress and errors."""
    return Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """Print one value as one line of JSON; contracts are printed with their field names."""
    print(msgspec.json.encode(value).decode(), flush=True)  # noqa: T201 - the command's result
