"""Milvus as the vector database, through pymilvus: the only module that imports it.

A server, a cluster and the embedded ``milvus-lite`` (a path that ends in ``.db``) answer to the same calls.
Sharding, replicas, building of indexes and growth are Milvus's: nothing here knows of them beyond two numbers.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, unquote

import grpc
import numpy as np
from pymilvus import DataType, MilvusClient
from pymilvus.exceptions import MilvusException

from services.retriever.vectordb.database import (
    CollectionGone,
    Entry,
    Found,
    Key,
    Question,
    VectorsAway,
)
from trimtab.contracts.retrieve import EVERY_LIST, DenseOutage

IndexKind = Literal["flat", "ivf_flat", "ivf_sq8", "hnsw"]
"""``flat`` looks at every vector; ``ivf_flat`` at ``nprobe`` lists of each segment, ``ivf_sq8`` at codes of a
quarter of the size there; ``hnsw`` walks a graph."""

_EXACT = ("flat", "ivf_flat")
"""Kinds that find the true nearest when every list is visited."""

_CALL_S = 10.0
"""Longest time of a call that nobody waits for."""

_KEY_BYTES, _TENANT_BYTES = 8192, 1024
"""Percent-encoded: 3 bytes for one, 12 for a character beyond ASCII; ids have at most 256, tenants 64."""

_EF_PER_PROBE = 16
"""HNSW's ``ef`` for each IVF list that a caller asked for; at least the results wanted."""
_EF_LIMIT = 32_768

_CONNECT_FAILED, _COLLECTION_NOT_FOUND = 2, 100


@dataclass(frozen=True, slots=True)
class MilvusOptions:
    """Where Milvus is and how new collections are made there."""

    uri: str
    """``http(s)://host:port``, or a path that ends in ``.db`` for the embedded one."""
    token: str = ""
    """``user:password`` or an API key; empty without authentication. Never logged."""
    index: IndexKind = "ivf_flat"
    """Of new collections; one that is there keeps its own."""
    nlist: int = 1024
    """IVF lists of each segment."""
    shards: int = 1
    """Write channels."""
    replicas: int = 1
    """Copies in memory, on as many query nodes."""


class Milvus:
    """One Milvus, connected at the first call and again after it was away."""

    def __init__(self, options: MilvusOptions) -> None:
        """Connects to nothing yet."""
        self._options = options
        self._connecting = threading.Lock()
        self._client: Any = None
        self._kinds: dict[str, str] = {}
        # It logs every failed call with a traceback; what matters of that is said by whoever asked.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)

    def prepare(self, name: str, dimension: int) -> bool:
        """Make the collection unless it is there; load it for searching."""
        with _translated(name):
            client = self._connected()
            made = not client.has_collection(name, timeout=_CALL_S)
            if made:
                self._kinds.pop(name, None)
                self._make(client, name, dimension)
            self._index(client, name)
            self._check(client, name, dimension)
            client.load_collection(name, timeout=_CALL_S, replica_number=self._options.replicas)
            return made

    def sequences(self, name: str, keys: Sequence[Key]) -> dict[Key, int]:
        """Return the sequence of each passage that it holds."""
        if not keys:
            return {}
        with _translated(name):
            rows = self._connected().query(
                name,
                filter=f"key in {_listed(map(_spelt, keys))}",
                output_fields=["key", "sequence"],
                timeout=_CALL_S,
                consistency_level="Strong",
            )
            return {_read(row["key"]): int(row["sequence"]) for row in rows}

    def put(self, name: str, entries: Sequence[Entry]) -> None:
        """Add or replace passages."""
        if not entries:
            return
        rows = [
            {
                "key": _spelt(entry.key),
                "tenant": quote(entry.key.tenant, safe=""),
                "sequence": entry.sequence,
                "vector": np.ascontiguousarray(entry.vector, dtype=np.float32),
            }
            for entry in entries
        ]
        with _translated(name):
            self._connected().upsert(name, rows, timeout=_CALL_S)

    def remove(self, name: str, keys: Sequence[Key]) -> None:
        """Forget passages."""
        if not keys:
            return
        with _translated(name):
            self._connected().delete(
                name, filter=f"key in {_listed(map(_spelt, keys))}", timeout=_CALL_S
            )

    def search(self, name: str, question: Question, timeout_s: float) -> Found:
        """Return the nearest passages of the question's tenants."""
        with _translated(name):
            client = self._connected(timeout_s)
            answers = client.search(
                name,
                data=[np.ascontiguousarray(question.vector, dtype=np.float32)],
                anns_field="vector",
                limit=question.limit,
                filter=_restriction(question),
                output_fields=["key"],
                search_params={
                    "metric_type": "IP",
                    "params": self._effort(self._kind(client, name), question),
                },
                timeout=timeout_s,
                consistency_level="Session",
            )
        hits = answers[0]
        keys = [_read(hit["key"]) for hit in hits]
        return Found(keys, np.array([hit["distance"] for hit in hits], dtype=np.float32))

    def count(self, name: str) -> int:
        """Return how many passages it holds."""
        with _translated(name):
            rows = self._connected().query(
                name,
                filter="",
                output_fields=["count(*)"],
                timeout=_CALL_S,
                consistency_level="Strong",
            )
            return int(rows[0]["count(*)"])

    def drop(self, name: str) -> None:
        """Forget the whole collection."""
        with _translated(name):
            client = self._connected()
            if client.has_collection(name, timeout=_CALL_S):
                client.drop_collection(name, timeout=_CALL_S)
            self._kinds.pop(name, None)

    def close(self) -> None:
        """Let the connection go."""
        with self._connecting:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connected(self, timeout_s: float = _CALL_S) -> Any:
        with self._connecting:
            if self._client is None:
                options = self._options
                self._client = MilvusClient(
                    uri=options.uri, token=options.token, timeout=timeout_s, dedicated=True
                )
            return self._client

    def _make(self, client: Any, name: str, dimension: int) -> None:
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("key", DataType.VARCHAR, is_primary=True, max_length=_KEY_BYTES)
        schema.add_field("tenant", DataType.VARCHAR, max_length=_TENANT_BYTES)
        schema.add_field("sequence", DataType.INT64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
        try:
            client.create_collection(
                name, schema=schema, num_shards=self._options.shards, timeout=_CALL_S
            )
        except MilvusException:
            if not client.has_collection(name, timeout=_CALL_S):
                raise  # else another worker made it at the same moment; what is there is checked next

    def _index(self, client: Any, name: str) -> None:
        """Make the indexes that are missing: whoever made the collection may have ended before them."""
        options, there = self._options, client.list_indexes(name, timeout=_CALL_S)
        indexes = client.prepare_index_params()
        if "vector" not in there:
            kind, building = options.index.upper(), _building(options)
            indexes.add_index(
                "vector", kind, index_name="vector", metric_type="IP", params=building
            )
        if "tenant" not in there:
            indexes.add_index("tenant", "INVERTED", index_name="tenant")
        if not len(indexes):
            return
        try:
            client.create_index(name, indexes, timeout=_CALL_S)
        except MilvusException:
            if "vector" not in client.list_indexes(name, timeout=_CALL_S):
                raise  # else another worker was faster

    def _check(self, client: Any, name: str, dimension: int) -> None:
        """Refuse a collection of this name that is not ours or of another dimension."""
        fields = client.describe_collection(name, timeout=_CALL_S)["fields"]
        found = {field["name"]: field.get("params", {}).get("dim") for field in fields}
        if set(found) != {"key", "tenant", "sequence", "vector"}:
            raise VectorsAway(
                DenseOutage.REFUSED, f"{name} in Milvus has other fields; drop it or rename it"
            )
        if int(found["vector"] or 0) != dimension:
            raise VectorsAway(
                DenseOutage.REFUSED,
                f"{name} in Milvus has dimension {found['vector']}, expected {dimension}; drop it",
            )
        self._kind(client, name)

    def _kind(self, client: Any, name: str) -> str:
        kind = self._kinds.get(name)
        if kind is None:
            about = client.describe_index(name, "vector", timeout=_CALL_S)
            kind = self._kinds[name] = str(about["index_type"]).lower()
        return kind

    def _effort(self, kind: str, question: Question) -> dict[str, int]:
        """Return the search parameters that look as hard as ``nprobe`` IVF lists.

        Raises:
            VectorsAway: a graph or codes cannot answer exactly.
        """
        if question.nprobe >= EVERY_LIST and kind not in _EXACT:
            raise VectorsAway(
                DenseOutage.REFUSED,
                f"{kind} cannot answer exactly; use RETRIEVER_MILVUS_INDEX=ivf_flat to verify",
            )
        if kind.startswith("ivf"):
            return {"nprobe": min(question.nprobe, self._options.nlist)}
        if kind == "hnsw":
            return {"ef": min(max(question.limit, _EF_PER_PROBE * question.nprobe), _EF_LIMIT)}
        return {}


def _building(options: MilvusOptions) -> dict[str, int]:
    match options.index:
        case "ivf_flat" | "ivf_sq8":
            return {"nlist": options.nlist}
        case "hnsw":
            return {"M": 32, "efConstruction": 200}
        case "flat":
            return {}


def _spelt(key: Key) -> str:
    """Return a key as Milvus stores it: readable, reversible, without a character that its filters know."""
    return f"{quote(key.tenant, safe='')}/{quote(key.id, safe='')}"


def _read(spelt: str) -> Key:
    tenant, _, passage = spelt.partition("/")
    return Key(unquote(tenant), unquote(passage))


def _restriction(question: Question) -> str:
    tenants = _listed(quote(tenant, safe="") for tenant in question.tenants)
    allowed = f"tenant in {tenants}"
    if not question.without:
        return allowed
    return f"{allowed} and key not in {_listed(map(_spelt, question.without))}"


def _listed(values: "Iterator[str]") -> str:
    return "[" + ",".join(f'"{value}"' for value in values) + "]"


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """Turn what pymilvus raises into what our callers know; its messages stay behind, they may quote filters."""
    try:
        yield
    except MilvusException as error:
        if error.code == _COLLECTION_NOT_FOUND:
            raise CollectionGone(name) from None
        raise _away(error.code) from None
    except grpc.RpcError as error:
        raise _away(error.code()) from None
    except (OSError, ValueError) as error:  # a closed channel is a ValueError
        raise VectorsAway(
            DenseOutage.UNAVAILABLE, f"Milvus is unreachable ({type(error).__name__})"
        ) from None


def _away(code: object) -> VectorsAway:
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return VectorsAway(DenseOutage.DEADLINE, "Milvus did not answer in time")
    if code == _CONNECT_FAILED or isinstance(code, grpc.StatusCode):
        return VectorsAway(
            DenseOutage.UNAVAILABLE, f"Milvus is unreachable ({code}); see RETRIEVER_MILVUS_URI"
        )
    return VectorsAway(DenseOutage.REFUSED, f"Milvus refused the call (code {code})")
