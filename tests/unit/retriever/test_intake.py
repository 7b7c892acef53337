"""A batch of the stream into the store."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from services.retriever.passages.feed import FeedMessage
from services.retriever.passages.intake import Intake
from services.retriever.passages.passage import Refusal
from services.retriever.passages.store import Store
from tests.unit.retriever.corpora import TOKEN_DIMENSION, token_rows, unit
from tests.unit.retriever.stream import message
from trimtab.contracts.documents import IndexedPassage
from trimtab.contracts.message import encode
from trimtab.contracts.sparse import SparseRow, SparseSpace, SparseVectors

RNG = np.random.default_rng(0)
VECTORS = unit(RNG, 10)


@pytest.fixture
def intake(tmp_path: Path) -> Iterator[Intake]:
    store = Store(tmp_path / "passages.db")
    yield Intake(store)
    store.close()


def batch(*passages: IndexedPassage, start: int = 1) -> list[FeedMessage]:
    return [FeedMessage(start + i, encode(passage)) for i, passage in enumerate(passages)]


def test_changes_come_back_by_collection_with_their_terms(intake: Intake) -> None:
    taken = intake.take(
        batch(
            message("a", VECTORS[0], text="Copying trees"),
            message("b", VECTORS[1], collection="other"),
        )
    )

    assert taken.sequence == 2
    assert {
        name: [c.stored.hit.id for c in changes] for name, changes in taken.changes.items()
    } == {
        "docs": ["a"],
        "other": ["b"],
    }
    assert taken.changes["docs"][0].terms == ["copi", "tree"]
    assert taken.rows["docs"].dimension == 16


def test_a_batch_again_changes_nothing(intake: Intake) -> None:
    messages = batch(message("a", VECTORS[0]), message("b", VECTORS[1]))
    intake.take(messages)

    again = intake.take(messages)

    assert again.changes == {}
    assert again.sequence == 2


def test_bad_messages_are_counted_by_reason_and_the_rest_is_stored(intake: Intake) -> None:
    good = message("a", VECTORS[0], tokens=token_rows(RNG, 3))
    wide = np.rint(unit(RNG, 2, 2 * TOKEN_DIMENSION) * 127).astype(np.int8)
    messages = batch(
        good,
        message("namespace", VECTORS[1], namespace="single_vector.other.16.v1"),
        message("dimension", unit(RNG, 1, 8)[0]),
        message("tokens", VECTORS[2], tokens=wide),
        message("norm", VECTORS[3] * 2),
    )
    messages.append(FeedMessage(6, b"\xc1"))
    messages.append(FeedMessage(7, msgspec.msgpack.encode({"unknown": 1})))

    taken = intake.take(messages)

    assert [change.stored.hit.id for change in taken.changes["docs"]] == ["a"]
    assert taken.sequence == 7
    assert taken.refused == {
        Refusal.NAMESPACE: 1,
        Refusal.DIMENSION: 1,
        Refusal.TOKENS: 1,
        Refusal.NORM: 1,
        Refusal.UNREADABLE: 2,
    }


def test_token_vectors_may_come_after_passages_without(intake: Intake) -> None:
    intake.take(batch(message("a", VECTORS[0])))

    taken = intake.take(batch(message("b", VECTORS[1], tokens=token_rows(RNG, 3)), start=2))

    assert taken.rows["docs"].token_dimension == TOKEN_DIMENSION
    assert (
        Intake(intake.store)
        .take(batch(message("c", VECTORS[2]), start=3))
        .rows["docs"]
        .token_dimension
        == TOKEN_DIMENSION
    )


def test_another_stream_makes_the_same_batch_new(intake: Intake) -> None:
    messages = batch(message("a", VECTORS[0]))
    intake.take(messages)

    intake.begin_stream("another")

    assert len(intake.take(messages).changes["docs"]) == 1


def _sparse(name: str = "learned_sparse.tiny.v1", ids: tuple[int, ...] = (1, 4)) -> SparseVectors:
    space = SparseSpace(namespace=name, vocabulary="0f" * 32, size=9)
    weights = np.ones(len(ids), dtype=np.float32)
    return SparseVectors.of(space, [SparseRow(np.array(ids, dtype=np.uint32), weights)])


def test_the_first_to_name_a_sparse_space_fixes_it_and_another_one_is_refused(
    intake: Intake,
) -> None:
    taken = intake.take(
        batch(
            message("a", VECTORS[0]),
            message("b", VECTORS[1], sparse=_sparse()),
            message("c", VECTORS[2], sparse=_sparse("learned_sparse.other.v1")),
            message("d", VECTORS[3], sparse=_sparse(ids=(4, 1))),
        )
    )

    assert taken.rows["docs"].sparse == _sparse().space
    assert [bool(each.stored.sparse) for each in taken.changes["docs"]] == [False, True]
    assert taken.refused == {Refusal.SPARSE: 2}
    again = Intake(intake.store).take(
        batch(message("e", VECTORS[4], sparse=_sparse("learned_sparse.other.v1")), start=5)
    )
    assert again.refused == {Refusal.SPARSE: 1}
