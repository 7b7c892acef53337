"""LanceDB: a table on disk with an index of its own, searched through the operating system's page cache."""

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engines.engine import Vectors, lists_for

_TABLE, _FIELD = "passages", "vector"
_CHUNK = 16_384


class Index:
    """IVF-Flat by inner product, the kind that keeps whole vectors."""

    knob = "nprobe"
    least = 1

    def __init__(self) -> None:
        self._library: Any = importlib.import_module("lancedb")
        self._table: Any = None
        self.setup = ""
        self.most = 1

    def build(self, vectors: Vectors, folder: Path) -> None:
        """Write the table in chunks, then index it."""
        arrow: Any = importlib.import_module("pyarrow")
        count, dimension = vectors.shape
        field = arrow.list_(arrow.float32(), dimension)
        schema = arrow.schema([("id", arrow.int64()), (_FIELD, field)])

        def batches() -> Iterator[Any]:
            for start in range(0, count, _CHUNK):
                part = np.ascontiguousarray(vectors[start : start + _CHUNK])
                ids = arrow.array(np.arange(start, start + len(part), dtype=np.int64))
                flat = arrow.array(part.reshape(-1))
                rows = arrow.FixedSizeListArray.from_arrays(flat, dimension)
                yield arrow.RecordBatch.from_arrays([ids, rows], schema=schema)

        database = self._library.connect(str(folder))
        table = database.create_table(_TABLE, batches(), schema=schema)
        table.create_index(
            metric="dot",
            vector_column_name=_FIELD,
            index_type="IVF_FLAT",
            num_partitions=lists_for(count),
        )

    def open(self, folder: Path, threads: int) -> None:
        """Open the table; the environment limits its threads."""
        self._table = self._library.connect(str(folder)).open_table(_TABLE)
        self.most = lists_for(self._table.count_rows())
        self.setup = f"IVF_FLAT, {self.most} partitions"

    def search(self, query: Vectors, limit: int, effort: int) -> Sequence[int]:
        """Search ``effort`` partitions."""
        asked = self._table.search(query, vector_column_name=_FIELD).distance_type("dot")
        found = asked.nprobes(effort).limit(limit).select(["id", "_distance"]).to_arrow()
        ids: list[int] = found["id"].to_pylist()
        return ids
