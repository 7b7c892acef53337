"""Sparse vectors are checked before they are used, and messages from before them stay readable."""

import msgspec
import numpy as np
import pytest

from tests.contracts.examples import examples
from trimtab.contracts.documents import CollectionRecord, IndexedPassage
from trimtab.contracts.encode import EncodeReply, EncodeRequest
from trimtab.contracts.errors import InvalidMessage, NamespaceMismatch
from trimtab.contracts.message import Message, decode, encode
from trimtab.contracts.retrieve import RetrieveReply, RetrieveRequest
from trimtab.contracts.sparse import MAX_ENTRIES, SparseRow, SparseSpace, SparseVectors

SPACE = SparseSpace(namespace="learned_sparse.tiny.v1", vocabulary="0f" * 32, size=100)


def row(ids: list[int], weights: list[float]) -> SparseRow:
    return SparseRow(np.array(ids, dtype=np.uint32), np.array(weights, dtype=np.float32))


def test_rows_come_back_as_they_were_empty_ones_too() -> None:
    rows = [row([], []), row([3, 99], [0.5, 2.0]), row([], []), row([0], [1.0])]

    back = SparseVectors.of(SPACE, rows).rows()

    assert [each.ids.tolist() for each in back] == [[], [3, 99], [], [0]]
    assert [each.weights.tolist() for each in back] == [[], [0.5, 2.0], [], [1.0]]
    assert SparseVectors.of(SPACE, []).rows() == []
    apart = SparseVectors.of(SPACE, rows).apart()
    assert [each.row().ids.tolist() for each in apart] == [[], [3, 99], [], [0]]


@pytest.mark.parametrize(
    ("ids", "weights", "said"),
    [
        ([5, 5], [1.0, 1.0], "ascending"),
        ([7, 5], [1.0, 1.0], "ascending"),
        ([100], [1.0], "not below 100"),
        ([1], [0.0], "weight"),
        ([1], [-1.0], "weight"),
        ([1], [float("nan")], "weight"),
        ([1], [float("inf")], "weight"),
        ([1], [1e-5], "weight"),
    ],
)
def test_what_is_no_sparse_vector_is_refused(
    ids: list[int], weights: list[float], said: str
) -> None:
    vectors = SparseVectors.of(SPACE, [row([1, 2], [1.0, 1.0]), row(ids, weights)], "f32")

    with pytest.raises(InvalidMessage, match=said):
        vectors.rows()


def test_bytes_that_do_not_fit_their_counts_are_refused() -> None:
    vectors = SparseVectors.of(SPACE, [row([1, 2], [1.0, 1.0])])

    for broken in (
        msgspec.structs.replace(vectors, ids=vectors.ids[:-1]),
        msgspec.structs.replace(vectors, weights=vectors.weights + b"x"),
        msgspec.structs.replace(vectors, counts=[3]),
    ):
        with pytest.raises(InvalidMessage, match="bytes"):
            broken.rows()


def test_more_terms_than_allowed_are_not_even_decoded() -> None:
    many = list(range(MAX_ENTRIES + 1))
    space = msgspec.structs.replace(SPACE, size=1000)
    vectors = SparseVectors.of(space, [row(many, [1.0] * len(many))])

    with pytest.raises(InvalidMessage, match=str(MAX_ENTRIES)):
        decode(SparseVectors, encode(vectors))


def test_one_text_is_expected_where_one_is_asked_for() -> None:
    with pytest.raises(InvalidMessage, match="2 texts"):
        SparseVectors.of(SPACE, [row([1], [1.0])] * 2).row()


@pytest.mark.parametrize(
    "change", [{"namespace": "learned_sparse.tiny.v2"}, {"vocabulary": "aa" * 32}]
)
def test_another_name_or_vocabulary_is_another_space(change: dict[str, str]) -> None:
    other = msgspec.structs.replace(SPACE, **change)

    with pytest.raises(NamespaceMismatch, match=other.vocabulary[:12]):
        SPACE.require(other, "a query")
    SPACE.require(msgspec.structs.replace(other, **msgspec.structs.asdict(SPACE)), "a query")


@pytest.mark.parametrize(
    "kind",
    [EncodeRequest, EncodeReply, IndexedPassage, CollectionRecord, RetrieveRequest, RetrieveReply],
)
def test_a_message_without_sparse_vectors_is_as_it_was_before_them(kind: type[Message]) -> None:
    without = msgspec.structs.replace(examples()[kind.__name__], sparse=None)

    raw = msgspec.msgpack.decode(encode(without))  # type: ignore[arg-type]

    assert "sparse" not in raw, "a peer of the version before knows no such field"
    assert decode(kind, msgspec.msgpack.encode(raw)) == without
