"""Requests that no service should take: bytes without sense, vectors of a wrong space, names nobody knows."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np

from tests.drills.slow_worker import request as rerank_request
from trimtab.contracts import subjects
from trimtab.contracts.documents import Document, PutDocuments
from trimtab.contracts.encode import EncodeRequest, TokenVectors
from trimtab.contracts.mapping import MapRequest
from trimtab.contracts.message import Message, encode
from trimtab.contracts.pipeline import MapBatchCall, MapCall, SearchRequest
from trimtab.contracts.retrieve import RetrieveRequest, ScoreRequest
from trimtab.contracts.samples import StatusRequest
from trimtab.contracts.tensor import Matrix

SPACE = "single_vector.minilm.384.v1"
DIMENSION = 384
_RANDOM_BODIES = 40


def unit(rows: int = 1, dimension: int = DIMENSION) -> Matrix:
    """Return unit rows, all alike."""
    return Matrix.of(np.full((rows, dimension), dimension**-0.5, dtype=np.float32))


ENCODE = EncodeRequest(namespace=SPACE, texts=["a text"])
RETRIEVE = RetrieveRequest(collection="stdlib", namespace=SPACE, text="a text", vector=unit())
SCORE = ScoreRequest(text="a text", vector=unit(), documents=["a", "b"], document_vectors=unit(2))
RERANK = rerank_request()
MAP = MapRequest(taxonomy="ai-safety", detector="text", output="hate", vectors=unit())

GOOD: dict[str, Message] = {
    subjects.encode("minilm-int8@1"): ENCODE,
    subjects.retrieve("hybrid@1"): RETRIEVE,
    subjects.score("hybrid@1"): SCORE,
    subjects.rerank("mlp-full@2"): RERANK,
    subjects.mapping("safety-head@1"): MAP,
    subjects.SEARCH: SearchRequest(text="a text"),
    subjects.MAP_OUTPUT: MapCall(output="hate"),
    subjects.MAP_BATCH: MapBatchCall(items=[MapCall(output="hate")]),
    subjects.DOCUMENTS: PutDocuments(
        collection="abuse", documents=[Document(id="1", text="a text")]
    ),
    subjects.STATUS: StatusRequest(),
}
"""A request that each verb answers."""


@dataclass(frozen=True)
class Wrong:
    """A well-formed request that cannot be answered, and what must be said of it."""

    subject: str
    request: Message
    status: int
    error: str


def _crooked(matrix: Matrix) -> Matrix:
    return msgspec.structs.replace(matrix, data=matrix.data[:-1])


def _nan(rows: int = 1) -> Matrix:
    return Matrix.of(np.full((rows, DIMENSION), np.nan, dtype=np.float32))


def meaningless() -> Iterator[Wrong]:
    """Yield requests whose bytes parse and whose content makes no sense."""
    change = msgspec.structs.replace
    encoder, retriever = subjects.encode("minilm-int8@1"), subjects.retrieve("hybrid@1")
    scorer, mapper = subjects.score("hybrid@1"), subjects.mapping("safety-head@1")
    reranker = subjects.rerank("mlp-full@2")
    many = TokenVectors(matrix=Matrix.of(np.ones((2, 128), dtype=np.int8)), counts=[1, 5])

    yield Wrong(encoder, change(ENCODE, namespace="who.knows.v9"), 404, "UnknownNamespace")
    yield Wrong(encoder, change(ENCODE, texts=["fine", " \n"]), 422, "InvalidText")
    yield Wrong(encoder, change(ENCODE, texts=["\u0000"]), 422, "InvalidText")
    long = change(ENCODE, texts=["word " * 4000], overflow="reject")
    yield Wrong(encoder, long, 422, "TokenBudgetExceeded")

    short = unit(1, DIMENSION - 1)
    yield Wrong(retriever, change(RETRIEVE, vector=short), 422, "DimensionMismatch")
    yield Wrong(retriever, change(RETRIEVE, namespace="who.knows.v9"), 422, "NamespaceMismatch")
    yield Wrong(retriever, change(RETRIEVE, collection="nowhere"), 404, "UnknownCollection")
    yield Wrong(retriever, change(RETRIEVE, vector=_crooked(unit())), 422, "InvalidMessage")
    yield Wrong(retriever, change(RETRIEVE, vector=_nan()), 422, "InvalidMessage")
    yield Wrong(retriever, change(RETRIEVE, vector=unit(2)), 422, "InvalidMessage")
    yield Wrong(retriever, change(RETRIEVE, tokens=many), 422, "InvalidMessage")

    yield Wrong(scorer, change(SCORE, document_vectors=unit(2, 383)), 422, "DimensionMismatch")
    yield Wrong(scorer, change(SCORE, document_vectors=unit(3)), 422, "InvalidMessage")
    yield Wrong(scorer, change(SCORE, document_vectors=_nan(2)), 422, "InvalidMessage")
    yield Wrong(scorer, change(SCORE, document_tokens=many), 422, "InvalidMessage")

    signals = RERANK.signals
    uneven = change(RERANK, signals=change(signals, articles=[0]))
    yield Wrong(reranker, uneven, 422, "InvalidMessage")
    narrow = change(RERANK, signals=change(signals, gram=_crooked(signals.gram)))
    yield Wrong(reranker, narrow, 422, "InvalidMessage")

    yield Wrong(mapper, change(MAP, taxonomy="nobodys"), 404, "UnknownTaxonomy")
    yield Wrong(mapper, change(MAP, vectors=unit(2)), 422, "InvalidMessage")
    yield Wrong(mapper, change(MAP, vectors=short), 422, "DimensionMismatch")
    yield Wrong(mapper, change(MAP, vectors=_crooked(unit())), 422, "InvalidMessage")

    search = GOOD[subjects.SEARCH]
    yield Wrong(subjects.SEARCH, change(search, text=" "), 422, "InvalidText")
    yield Wrong(subjects.SEARCH, change(search, collection="nowhere"), 404, "UnknownCollection")
    aggregate = MapCall(output="|".join(f"label {number}" for number in range(33)))
    yield Wrong(subjects.MAP_OUTPUT, aggregate, 422, "InvalidMessage")


def senseless(good: Message) -> Iterator[bytes]:
    """Yield bodies that are no request at all, most of them close to a good one; always the same."""
    body = encode(good)
    yield from (b"", b"\xff\x00", b"null", b"\xc1", b"\x80", b"\x90")
    yield b"\x91" * 100_000  # nested deeper than any parser should follow
    yield b"\xdf\xff\xff\xff\xff"  # a map that says it has 2**32 - 1 entries
    yield body[:-1]
    yield body + b"\x00"
    fields = msgspec.to_builtins(good, builtin_types=(bytes,))
    yield msgspec.msgpack.encode(fields | {"surprise": 1})
    yield msgspec.msgpack.encode(dict.fromkeys(fields, float("nan")))
    dice = random.Random(body)
    for _ in range(_RANDOM_BODIES):
        yield dice.randbytes(dice.randrange(1, 200))


def headless(headers: dict[str, str]) -> Iterator[dict[str, str] | None]:
    """Yield headers that lack something or hold nonsense."""
    yield None
    for name in headers:
        yield {key: value for key, value in headers.items() if key != name}
    deadline = next(name for name in headers if name.endswith("Deadline"))
    yield headers | {deadline: "tomorrow"}
    yield headers | {deadline: "9" * 5000}
