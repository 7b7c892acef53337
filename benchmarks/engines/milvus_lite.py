"""milvus-lite through pymilvus: its server is a process of its own, reached over a local socket by gRPC."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engines.engine import Vectors, lists_for

_FILE, _COLLECTION, _FIELD = "milvus.db", "passages", "vector"
_CHUNK = 2000
_LOAD_S = 1800.0


class Index:
    """IVF-Flat by inner product; vectors go in as lists of floats, as its client takes them."""

    knob = "nprobe"
    least = 1

    def __init__(self) -> None:
        self._library: Any = importlib.import_module("pymilvus")
        self._client: Any = None
        self.setup = ""
        self.most = 1

    def build(self, vectors: Vectors, folder: Path) -> None:
        """Insert in chunks, then index."""
        count, dimension = vectors.shape
        client = self._library.MilvusClient(str(folder / _FILE))
        schema = client.create_schema(auto_id=False)
        schema.add_field("id", self._library.DataType.INT64, is_primary=True)
        schema.add_field(_FIELD, self._library.DataType.FLOAT_VECTOR, dim=dimension)
        client.create_collection(_COLLECTION, schema=schema)
        for start in range(0, count, _CHUNK):
            part = np.asarray(vectors[start : start + _CHUNK])
            rows = [{"id": start + at, _FIELD: row} for at, row in enumerate(part)]
            client.insert(_COLLECTION, rows)
        client.flush(_COLLECTION)
        parameters = client.prepare_index_params()
        parameters.add_index(
            _FIELD, index_type="IVF_FLAT", metric_type="IP", params={"nlist": lists_for(count)}
        )
        client.create_index(_COLLECTION, parameters)
        client.load_collection(_COLLECTION, timeout=_LOAD_S)
        client.close()

    def open(self, folder: Path, threads: int) -> None:
        """Load the collection; the environment limits its threads."""
        self._client = self._library.MilvusClient(str(folder / _FILE))
        self._client.load_collection(_COLLECTION, timeout=_LOAD_S)
        rows = int(self._client.get_collection_stats(_COLLECTION)["row_count"])
        self.most = lists_for(rows)
        self.setup = f"IVF_FLAT, nlist {self.most}"

    def search(self, query: Vectors, limit: int, effort: int) -> Sequence[int]:
        """Search ``effort`` lists."""
        found = self._client.search(
            _COLLECTION,
            data=[query],
            anns_field=_FIELD,
            limit=limit,
            search_params={"metric_type": "IP", "params": {"nprobe": effort}},
        )
        return [int(hit["id"]) for hit in found[0]]
