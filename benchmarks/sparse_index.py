"""Speed and size of learned sparse vectors, by random weights: ``python -m benchmarks.sparse_index --passages 100000``.

The index gets passages of 128 terms drawn as Zipf has it, and queries of 32; the model is a BERT of the published
size without training. Nothing here says how well anything is found: that needs a trained model.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import machine
from services.encoder.graph import Architecture
from services.encoder.names import MASK, TERMS, TOKEN_IDS
from services.encoder.onnx_engine import open_session
from services.encoder.sparse.checkpoint import Checkpoint
from services.encoder.sparse.pruning import pruned
from services.encoder.sparse.splade import write
from services.retriever.passages.passage import packed, unpacked
from services.retriever.passages.visibility import VisibleSet
from services.retriever.words.sparse import SparseIndex
from trimtab.contracts.sparse import SparseRow

VOCABULARY = 30_522
PASSAGE_TERMS, QUERY_TERMS, DEPTH = 128, 32, 50
_CHUNK = 1024
_SKIPPED = 50
"""Terms before the first of the law: a trained model prunes what stands everywhere, and these would."""


def drawn(rng: np.random.Generator, count: int, terms: int) -> list[SparseRow]:
    """Return vectors whose terms follow Zipf's law, weights between 0.1 and 3."""
    wide = rng.zipf(1.1, size=(count, 4 * terms))
    rows = []
    for each in wide:
        ids = np.unique(each[each < VOCABULARY - _SKIPPED] + _SKIPPED)
        ids = np.sort(rng.permutation(ids)[:terms]).astype(np.uint32)
        weights = rng.uniform(0.1, 3.0, size=len(ids)).astype(np.float16)
        rows.append(SparseRow(ids, weights.astype(np.float32)))
    return rows


def index_lines(passages: int, searches: int) -> list[str]:
    """Return what an index of that many passages costs, a line each."""
    rng = np.random.default_rng(7)
    stored = [
        packed(row) for _ in range(0, passages, _CHUNK) for row in drawn(rng, _CHUNK, PASSAGE_TERMS)
    ]
    stored = stored[:passages]
    index, began = SparseIndex(), time.process_time()
    for start in range(0, passages, _CHUNK):
        part = stored[start : start + _CHUNK]
        index.put(np.arange(start, start + len(part)), [unpacked(each) for each in part])
        index.settle()
    built_s = time.process_time() - began
    visible = VisibleSet(passages, True, np.full(passages // 8 + 1, 255, dtype=np.uint8))
    nothing = np.empty(0, dtype=np.int64)
    asked = drawn(rng, searches, QUERY_TERMS)
    searched = _timed(partial(index.search, query, DEPTH, visible, nothing) for query in asked)
    changes = drawn(rng, searches, PASSAGE_TERMS)
    slots = rng.integers(0, passages, size=(searches, 1))
    pairs = zip(slots, changes, strict=True)
    changed = _timed(partial(index.put, slot, [row]) for slot, row in pairs)
    mean = sum(map(len, stored)) / len(stored)
    return [
        f"| passages | {passages:,}, {mean / 6:.0f} terms each |",
        f"| stored per passage | {mean:.0f} bytes |",
        f"| index in memory | {8 * index.postings / 2**20:.0f} MiB, {index.segments} segments |",
        f"| made from what is stored, at a start | {built_s:.1f} s |",
        f"| search, {QUERY_TERMS} terms, {DEPTH} best: p50 / p95 | {_shown(searched)} |",
        f"| upsert of one passage: p50 / p95 | {_shown(changed)} |",
    ]


def model_lines(texts: int) -> list[str]:
    """Return what a text costs in a BERT of 12 layers with random weights, a line each."""
    sizes = Architecture(hidden=768, heads=12, layers=12, positions=512)
    rng = np.random.default_rng(7)
    checkpoint = Checkpoint(sizes, _weights(rng, sizes), VOCABULARY, "", b"")
    lines = []
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.onnx"
        write(checkpoint, path)
        lines.append(f"| model file, fp32 | {path.stat().st_size / 2**20:.0f} MiB |")
        session = open_session(path)
    for tokens in (16, 128, 256):
        ids = rng.integers(0, VOCABULARY, size=(1, tokens))
        took = _timed(partial(_encoded, session, ids) for _ in range(texts))
        lines.append(f"| a text of {tokens} tokens, one thread: p50 / p95 | {_shown(took)} |")
    return lines


def _weights(rng: np.random.Generator, sizes: Architecture) -> dict[str, NDArray[np.float32]]:
    hidden, wide = sizes.hidden, 4 * sizes.hidden
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (VOCABULARY, hidden),
        "embeddings.position_embeddings.weight": (sizes.positions, hidden),
        "embeddings.token_type_embeddings.weight": (2, hidden),
        "cls.predictions.bias": (VOCABULARY,),
    }
    dense = {"cls.predictions.transform.dense": (hidden, hidden)}
    norms = ["embeddings.LayerNorm", "cls.predictions.transform.LayerNorm"]
    for layer in range(sizes.layers):
        name = f"encoder.layer.{layer}"
        dense |= {f"{name}.attention.self.{p}": (hidden, hidden) for p in ("query", "key", "value")}
        dense |= {f"{name}.attention.output.dense": (hidden, hidden)}
        dense |= {f"{name}.intermediate.dense": (wide, hidden)}
        dense |= {f"{name}.output.dense": (hidden, wide)}
        norms += [f"{name}.attention.output.LayerNorm", f"{name}.output.LayerNorm"]
    for name, shape in dense.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    made = {
        name: (0.02 * rng.standard_normal(shape, dtype=np.float32))
        for name, shape in shapes.items()
    }
    for name in norms:
        made |= {f"{name}.weight": np.ones(hidden, np.float32)}
        made |= {f"{name}.bias": np.zeros(hidden, np.float32)}
    return made


def _encoded(session: Any, ids: NDArray[np.int64]) -> SparseRow:
    [weights] = session.run([TERMS], {TOKEN_IDS: ids, MASK: np.ones_like(ids)})
    return pruned(weights[0], PASSAGE_TERMS)


def _timed(calls: Iterable[Callable[[], object]]) -> list[float]:
    took = []
    for call in calls:
        began = time.process_time()
        call()
        took.append(1000 * (time.process_time() - began))
    return took


def _shown(took_ms: Sequence[float]) -> str:
    p50, p95 = np.percentile(took_ms, (50, 95))
    return f"{p50:.2f} / {p95:.2f} ms"


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table, processor time throughout."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sparse_index", description=__doc__)
    parser.add_argument("--passages", type=int, default=100_000, help="default %(default)s")
    parser.add_argument("--searches", type=int, default=300, help="default %(default)s")
    parser.add_argument("--texts", type=int, default=10, help="per length; 0: no model")
    given = parser.parse_args(argv)
    lines = [str(machine.facts()), "", "| random weights, processor time | |", "|---|---|"]
    lines += index_lines(given.passages, given.searches)
    lines += model_lines(given.texts) if given.texts else []
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
