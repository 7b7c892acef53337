"""Makes the index of an edition: filled from the component's trained one or trained here, read from a snapshot, saved.

What takes long runs in the build thread; the collection is read, and the result swapped in, in the search
thread, a part at a time, so that searches pass in between.
"""

import math
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from services.retriever.dense import golden, kinds, snapshot
from services.retriever.dense.golden import GoldenSet
from services.retriever.dense.index import DenseIndex, Slots
from services.retriever.dense.snapshot import Header, SnapshotRefused
from services.retriever.edition import Edition
from services.retriever.lanes import Lanes
from services.retriever.passages import loading
from services.retriever.passages.store import Store
from services.retriever.plan import nlist_for
from trimtab.telemetry.logs import Logger
from trimtab.telemetry.metrics import RETRIEVER_SNAPSHOT_REFUSED

_FILL_CHUNK = 8192


class WrongIndex(Exception):
    """An index that was just built does not find what is in it."""


@dataclass(frozen=True, slots=True)
class Written:
    """A snapshot that only wants to be sealed."""

    partial: Path
    """Where its index lies."""
    header: Header
    """What it holds."""
    questions: GoldenSet
    """What it answers."""


class Indexing:
    """Makes, reads and saves the indexes of one worker's editions, one at a time."""

    def __init__(self, state: Path, lanes: Lanes, store: Store, log: Logger) -> None:
        self._state = state
        self._lanes = lanes
        self._store = store
        self._log = log

    async def make(self, edition: Edition) -> None:
        """Build the index that the plan wants, and let it answer.

        Raises:
            WrongIndex: it does not find its own vectors; what answered before goes on.
            Uncodable: the plan's codes do not fit the collection's vectors.
        """
        await self._lanes.search(edition.begin_index)
        slots = await self._lanes.search(lambda: edition.collection.slots)
        index = await self._empty(edition, len(slots))
        await self._fill(index, edition, slots)
        trained = edition.trained
        indexed = len(slots) if trained is None else trained.record.passages
        await self._lanes.search(edition.adopt_index, index, indexed=indexed)

    async def restore(self, edition: Edition) -> int | None:
        """Let the newest snapshot answer, if there is one that can be believed.

        Returns how many passages changed since it was saved; None when there is no snapshot.
        """
        row = edition.collection.row
        folder = snapshot.newest(loading.snapshots_of(self._state, row.name, edition.component))
        if folder is None:
            return None
        store, sequence = await self._lanes.store(
            lambda: (self._store.read_id(), self._store.read_sequence())
        )

        def expected(header: Header) -> bool:
            found = (header.store, header.collection, header.component, header.dimension)
            wanted = (store, row.name, edition.component, row.dimension)
            return found == wanted and header.sequence <= sequence

        await self._lanes.search(edition.begin_index)
        try:
            index, header = await self._lanes.build(
                snapshot.load, folder, edition.plan.index, kinds.read, expected
            )
        except SnapshotRefused as refusal:
            RETRIEVER_SNAPSHOT_REFUSED.labels(refusal.cause.value).inc()
            self._log.warning("snapshot_refused", collection=row.name, cause=refusal.cause.value)
            # or a later start, further on, might believe it
            shutil.rmtree(folder, ignore_errors=True)
            return None
        changed = await self._lanes.store(self._store.changed_since, row, header.sequence)
        await self._lanes.search(edition.adopt_index, index, changed, indexed=header.indexed)
        return len(changed)

    async def write(self, edition: Edition, index: DenseIndex) -> Written:
        """Write the index of a snapshot; nobody may change the collection meanwhile."""
        collection, nprobe = edition.collection, edition.plan.dense.nprobe
        asked = await self._lanes.search(
            lambda: collection.vectors(golden.spread(collection.slots))
        )
        questions = await self._lanes.search(golden.record, index, asked, nprobe)
        header = Header(
            store=await self._lanes.store(self._store.read_id),
            collection=collection.row.name,
            component=edition.component,
            dimension=collection.row.dimension,
            sequence=await self._lanes.store(self._store.read_sequence),
            slots=index.entries,
            nlist=index.nlist,
            kind=index.kind,
            indexed=edition.indexed,
        )
        folder = loading.snapshots_of(self._state, collection.row.name, edition.component)
        partial = await self._lanes.build(snapshot.write, folder, index)
        return Written(partial, header, questions)

    async def seal(self, written: Written) -> None:
        """Make it a snapshot; the collection may change again."""
        # or after a crash the snapshot would know of changes that the store lost
        await self._lanes.store(self._store.flush)
        await self._lanes.build(snapshot.seal, written.partial, written.header, written.questions)

    async def _empty(self, edition: Edition, passages: int) -> DenseIndex:
        plan, dimension = edition.plan, edition.collection.row.dimension
        if edition.trained is not None:
            path = edition.trained.path
            return await self._lanes.build(kinds.read, plan.index, path, dimension, 0)
        nlist = nlist_for(passages, plan.dense.nlist_per_sqrt)
        size = kinds.sample_size(plan.index, nlist)
        sample = await self._lanes.search(edition.sample, size)
        return await self._lanes.build(kinds.train, plan.index, dimension, sample, nlist)

    async def _fill(self, index: DenseIndex, edition: Edition, slots: Slots) -> None:
        """Add what is at ``slots``, and ask for some of it before anybody else may."""
        step = max(1, len(slots) // golden.QUERIES)
        for part in np.array_split(slots, max(1, math.ceil(len(slots) / _FILL_CHUNK))):
            present, vectors = await self._lanes.search(edition.collection.held, part)
            await self._lanes.build(index.extend, vectors, present)
            nprobe = edition.plan.dense.nprobe
            if not await self._lanes.build(golden.finds_itself, index, vectors[::step], nprobe):
                raise WrongIndex(edition.collection.row.name)
