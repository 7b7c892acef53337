"""FLAT truth on disk: the exact nearest passages of a list of queries, one JSON line each, under a checksum.

Queries are named by id and vector, never by their text.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from trimtab.artifacts.manifest import sha256_of


class UnusableTruth(ValueError):
    """A file of exact answers cannot be used; says why."""


class TrueAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an exact search finds for one query."""

    id: Annotated[str, Meta(min_length=1)]
    """Of the query."""
    ids: list[str]
    """Passages, nearest first."""
    cosines: list[float]
    """Of each with the query."""
    vector: list[float] = []
    """The query's own, of unit length; empty where it can be encoded again."""


def checksum_of(path: Path) -> Path:
    """Return the file beside ``path`` that holds its checksum, as ``sha256sum`` writes and checks it."""
    return path.with_name(f"{path.name}.sha256")


def write_truth(path: Path, answers: Iterable[TrueAnswer]) -> str:
    """Write the answers and their checksum; return the sha256, hex.

    Raises:
        OSError: the folder is not there or cannot be written.
    """
    lines = [msgspec.json.encode(answer) + b"\n" for answer in answers]
    path.write_bytes(b"".join(lines))
    digest = sha256_of(path)
    checksum_of(path).write_text(f"{digest}  {path.name}\n", encoding="ascii")
    return digest


def read_truth(path: Path) -> list[TrueAnswer]:
    """Return the answers of a file whose checksum fits.

    Raises:
        UnusableTruth: it is missing, its checksum is missing or differs, or a line does not parse.
    """
    try:
        stated = checksum_of(path).read_text(encoding="ascii").split()[0]
        if sha256_of(path) != stated:
            raise UnusableTruth(f"{path.name} does not have the sha256 that stands beside it")
        lines = path.read_bytes().splitlines()
    except (OSError, IndexError, UnicodeDecodeError):
        raise UnusableTruth(f"{path.name} or its .sha256 cannot be read") from None
    try:
        return [msgspec.json.decode(line, type=TrueAnswer) for line in lines if line.strip()]
    except msgspec.DecodeError as error:
        raise UnusableTruth(f"{path.name} does not parse: {error}") from None
