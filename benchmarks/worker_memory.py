"""What a passage costs a retriever in memory besides its index, with its vectors here and with them in Milvus.

Started by :mod:`benchmarks.faiss_limits`; prints one JSON line: bytes per passage.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import msgspec

from benchmarks import retriever_data
from benchmarks.faiss_child import resident
from services.retriever.edition import Edition
from services.retriever.passages.loading import lexical_of, load_collection
from services.retriever.passages.store import FILE, Store
from services.retriever.passages.storedvectors import StoredVectors
from services.retriever.plan import SHIPPED, load_plan


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Of one way to hold a collection."""

    where: str
    """``memory`` or ``milvus``: where the vectors live."""
    bytes_per_passage: float
    """Resident memory that the loaded collection and its words added."""


def main() -> int:
    """Measure one way, or write the store that both read."""
    parser = argparse.ArgumentParser()
    parser.add_argument("where", choices=("memory", "milvus"))
    parser.add_argument("passages", type=int)
    parser.add_argument("dimension", type=int)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        made = retriever_data.make(given.passages, 1, dimension=given.dimension)
        retriever_data.load(state, "synthetic", made.vectors, tokens=0)
        del made
        found = _measured(state, given.where, given.passages)
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    return 0


def _measured(state: Path, where: str, passages: int) -> Memory:
    store = Store(state / FILE)
    row = store.collections()[0]
    plan, _ = load_plan(SHIPPED / "hybrid@1")
    before = resident()
    stored = StoredVectors(state / FILE, row.number, row.dimension) if where == "milvus" else None
    collection = load_collection(store, row, stored)
    edition = Edition(collection, "hybrid@1", plan)
    given = edition.begin_lexical()
    edition.adopt_lexical(lexical_of(given, plan.lexical), given.generation)
    del given
    taken = resident() - before
    if len(collection.vectors(collection.slots[:10])) != min(10, passages):
        raise AssertionError("the collection that was measured cannot be read")
    store.close()
    return Memory(where=where, bytes_per_passage=taken / passages)


if __name__ == "__main__":
    raise SystemExit(main())
