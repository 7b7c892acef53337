"""Fills the collection of the shipped corpus, unless what is there is the same and whole."""

import asyncio
import hashlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from trimtab.contracts.documents import Document
from trimtab.corpus.rows import Row
from trimtab.corpus.stdlib import COLLECTION, documents
from trimtab.corpus.upload import Puts, Report, upload

Progress = Callable[[int, int], None]
"""Told how many passages of how many are settled."""


class Marker(msgspec.Struct, frozen=True, kw_only=True):
    """Written when a corpus was ingested to its end."""

    fingerprint: str
    """Of what it was made from."""
    passages: int
    """How many."""


class CorpusRefused(Exception):
    """The deployment took only a part of the corpus."""


def fingerprint(modules: Sequence[str]) -> str:
    """Return what decides the corpus: the interpreter's version and the chosen modules."""
    chosen = f"{sys.version}|{sys.platform}|{','.join(sorted(modules))}"
    return hashlib.sha256(chosen.encode()).hexdigest()


def is_whole(marker: Path, modules: Sequence[str], stored: int) -> bool:
    """Return whether this corpus was ingested before, and ``stored`` passages are still there."""
    try:
        known = msgspec.json.decode(marker.read_bytes(), type=Marker)
    except (FileNotFoundError, msgspec.DecodeError):
        return False
    return known.fingerprint == fingerprint(modules) and stored >= known.passages


async def ingest(client: Puts, marker: Path, modules: Sequence[str], progress: Progress) -> Report:
    """Send the corpus and leave the marker.

    Raises:
        TrimtabError: the deployment cannot be reached.
        CorpusRefused: some passages were refused, so the marker is not written.
    """
    corpus: list[Document] = await asyncio.to_thread(lambda: list(documents(modules or None)))
    report = Report(COLLECTION)
    rows = [Row(document.article, 1, document) for document in corpus]
    await upload(client, rows, report, lambda _: progress(report.total, len(rows)))
    if report.rejected:
        first = report.rejected[0]
        raise CorpusRefused(f"{len(report.rejected)} passages refused, the first: {first.reason}")
    _leave(marker, Marker(fingerprint=fingerprint(modules), passages=len(corpus)))
    return report


def _leave(path: Path, marker: Marker) -> None:
    path.write_bytes(msgspec.json.encode(marker))
