"""What a passage costs a retriever in memory besides its index, with its vectors here and with them in Milvus.

Started by :mod:`benchmarks.faiss_limits`: once to write a store, then once for each way to hold what is in it, in
a process of its own; then it prints one JSON line.
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

TOKENS_PER_PASSAGE = 60
"""Token vectors that an ingest stores with 45 words: 64 with a passage of the standard library's documentation, which is
as long; 87 with one of `opsdocs`, 202 with a technique of ATT&CK."""

_FEW = 2000
"""Passages of a first collection: what a process needs once, for whichever collection, is there before the second."""


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Of one way to hold a collection."""

    bytes_per_passage: float
    """Resident memory that the loaded collection and its words added, BM25 included."""
    bm25_bytes_per_passage: float
    """Of that, what the BM25 index added: a rebuild makes a second one."""


def main() -> int:
    """Write a store, or measure one way to hold it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("write", "memory", "milvus"))
    parser.add_argument("state", type=Path)
    parser.add_argument("--passages", type=int, default=1000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--tokens", type=int, default=0, help="token vectors of each passage")
    given = parser.parse_args()
    if given.what == "write":
        _write(given.state, given.passages, given.dimension, given.tokens)
        return 0
    afar = given.what == "milvus"
    with tempfile.TemporaryDirectory() as first:
        _write(Path(first), _FEW, given.dimension, given.tokens)
        _measured(Path(first), afar=afar)
    found = _measured(given.state, afar=afar)
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    return 0


def _write(state: Path, passages: int, dimension: int, tokens: int) -> None:
    made = retriever_data.make(passages, 1, dimension=dimension)
    retriever_data.load(state, "synthetic", made.vectors, tokens=tokens)


def _measured(state: Path, *, afar: bool) -> Memory:
    store = Store(state / FILE)
    row = store.collections()[0]
    plan, _ = load_plan(SHIPPED / "hybrid@1")
    before = resident()
    stored = StoredVectors(state / FILE, row.number, row.dimension) if afar else None
    collection = load_collection(store, row, stored)
    edition = Edition(collection, "hybrid@1", plan)
    loaded = resident()
    given = edition.begin_lexical()
    edition.adopt_lexical(lexical_of(given, plan.lexical), given.generation)
    del given
    after = resident()
    if len(collection.vectors(collection.slots[:10])) != min(10, collection.size):
        raise AssertionError("the collection that was measured cannot be read")
    store.close()
    size = collection.size
    return Memory(
        bytes_per_passage=(after - before) / size,
        bm25_bytes_per_passage=(after - loaded) / size,
    )


if __name__ == "__main__":
    raise SystemExit(main())
