"""The two files of an incident, named by its day: a second one of a day gets a number, and none is replaced."""

import contextlib
import os
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from trimtab.cli.failure import Failure


def write(folder: Path, day: float, page: str, figures: bytes, placeholder: str) -> Path:
    """Write ``YYYYMMDD_incident.md`` and ``.json`` of the UTC day of ``day``, unix seconds; return the page's path.

    ``placeholder`` stands in ``page`` where the name of the other file belongs.

    Raises:
        Failure: the folder cannot be written to; nothing is left behind.
    """
    stem = datetime.fromtimestamp(day, UTC).strftime("%Y%m%d_incident")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in count(1):
            path = folder / (f"{stem}.md" if number == 1 else f"{stem}_{number}.md")
            with contextlib.suppress(FileExistsError):
                _both(path, page.replace(placeholder, path.with_suffix(".json").name), figures)
                return path
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise Failure(f"{folder} cannot be written to: {reason}", "name another --out") from None
    raise AssertionError("unreachable: numbers do not end")


def _both(path: Path, page: str, figures: bytes) -> None:
    beside = path.with_suffix(".json")
    with beside.open("xb") as file:
        file.write(figures)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(page)
    except OSError:
        beside.unlink()
        raise
