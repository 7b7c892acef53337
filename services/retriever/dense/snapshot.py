"""Index files on disk: written whole or not at all, and believed only after checksum, shape and golden queries.

A snapshot saves training time, nothing else, so FLAT has none: whatever is wrong with it is
counted and it is made again from the store. Rows changed after its sequence are brought up to date
by the caller.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import msgspec

from services.retriever.dense import golden
from services.retriever.dense.flat import UnreadableIndex
from services.retriever.dense.golden import GoldenSet
from services.retriever.dense.index import DenseIndex, Kind
from services.retriever.plan import IndexPlan
from trimtab.artifacts.manifest import MANIFEST, ArtifactError, verify, write_manifest

INDEX = "index.faiss"
GOLDEN = "golden.json"
_PARTIAL = ".partial-"

Read = Callable[[IndexPlan, Path, int, int], DenseIndex]
"""``read(plan, path, dimension, entries)``: loads an index, or raises UnreadableIndex."""


class Cause(StrEnum):
    """What caught a bad snapshot: label of ``retriever_snapshot_refused_total``."""

    CHECKSUM = "checksum"
    SHAPE = "shape"
    GOLDEN = "golden"
    STORE = "store"


class SnapshotRefused(Exception):
    """A snapshot must not be used."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.value)
        self.cause = cause


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows of which store an index holds."""

    store: str
    """Id of the store's content: slots of another one mean other passages."""
    collection: str
    """Name."""
    dimension: int
    """Of the vectors."""
    sequence: int
    """Stream sequence applied to the index."""
    slots: int
    """Vectors in the file."""
    component: str
    """Retriever component that it belongs to."""
    nlist: int
    """IVF lists; 0 without."""
    kind: Kind = "ivf"
    """Of the index; those that do not say were written when there was one kind."""
    indexed: int = 0
    """Passages when the index was trained; 0 when nobody wrote it down."""


def write(folder: Path, index: DenseIndex) -> Path:
    """Write the index alone below ``folder``, where nobody reads it yet; return what :func:`seal` needs.

    Nobody may change the index meanwhile; what takes longest, checksums and the disk, is left to the seal.
    """
    folder.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=folder))
    try:
        index.write(partial / INDEX)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return partial


def seal(partial: Path, header: Header, questions: GoldenSet) -> Path:
    """Make what was written a snapshot and remove older ones; return its folder.

    The files are flushed before a rename makes them visible: a crash leaves the old snapshot or the new one.
    """
    folder = partial.parent
    try:
        (partial / GOLDEN).write_bytes(msgspec.json.encode(questions))
        write_manifest(
            partial,
            name=header.collection,
            version=str(header.sequence),
            kind="index",
            metadata=msgspec.structs.asdict(header),
        )
        for path in (partial / INDEX, partial / GOLDEN, partial / MANIFEST, partial):
            _flush(path)
        final = folder / f"{header.sequence:020d}"
        if final.exists():
            shutil.rmtree(final)
        partial.rename(final)
        _flush(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    for other in folder.iterdir():
        if other != final:
            shutil.rmtree(other, ignore_errors=True)
    return final


def newest(folder: Path) -> Path | None:
    """Return the newest whole snapshot below ``folder``, or None."""
    if not folder.is_dir():
        return None
    whole = [path for path in folder.iterdir() if not path.name.startswith(_PARTIAL)]
    return max(whole, default=None)


def load(
    folder: Path, plan: IndexPlan, read: Read, expected: Callable[[Header], bool]
) -> tuple[DenseIndex, Header]:
    """Return the verified index of a snapshot.

    Args:
        folder: from :func:`newest`.
        plan: of the component that it belongs to.
        read: reads an index of its kind.
        expected: whether the header is of the store as it is now.

    Raises:
        SnapshotRefused: a checksum, the shape, the store or a golden query does not fit.
    """
    try:
        manifest = verify(folder)
        header = msgspec.convert(manifest.metadata, Header)
        questions = msgspec.json.decode((folder / GOLDEN).read_bytes(), type=GoldenSet)
    except (ArtifactError, OSError, msgspec.DecodeError, UnicodeDecodeError):
        raise SnapshotRefused(Cause.CHECKSUM) from None
    if not expected(header) or header.kind != plan.kind:
        raise SnapshotRefused(Cause.STORE)
    try:
        index = read(plan, folder / INDEX, header.dimension, header.slots)
    except UnreadableIndex:
        raise SnapshotRefused(Cause.SHAPE) from None
    if not golden.passes(index, questions):
        raise SnapshotRefused(Cause.GOLDEN)
    return index, header


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
