"""The passage store: idempotent, transactional with its sequence, readable after a restart."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.retriever.passages.passage import Passage
from services.retriever.passages.schema import UnusableStore
from services.retriever.passages.store import CollectionRow, Store, StoredPassage
from tests.unit.retriever.corpora import COMPONENT, DIMENSION, NAMESPACE, passage, unit
from trimtab.contracts.sparse import SparseSpace

VECTORS = unit(np.random.default_rng(0), 40)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "passages.db")
    yield opened
    opened.close()


def docs(store: Store, name: str = "docs") -> CollectionRow:
    return store.add_collection(name, NAMESPACE, COMPONENT, DIMENSION, 0)


def changed(store: Store, row: CollectionRow, *passages: Passage) -> list[StoredPassage]:
    sequence = max(each.sequence for each in passages)
    applied = store.apply([(row, each) for each in passages], sequence)
    return list(applied[row.name].changed.values()) if row.name in applied else []


def test_stored_passages_come_back_whole_and_in_order(store: Store) -> None:
    row = docs(store)
    tokens = b"\x01\x02\xff\x80" * 2

    changed(store, row, *(passage(number, VECTORS[number], tokens=tokens) for number in range(5)))

    read = list(store.passages(row))
    assert [each.slot for each in read] == [0, 1, 2, 3, 4]
    assert [each.hit.id for each in read] == ["p0", "p1", "p2", "p3", "p4"]
    assert all(np.array_equal(each.vector, VECTORS[each.slot]) for each in read)
    assert read[3].tokens == tokens
    assert [hit and hit.id for hit in store.hits(row, [4, 0, 2])] == ["p4", "p0", "p2"]


def test_the_same_content_again_changes_nothing_but_the_sequence(store: Store) -> None:
    row = docs(store)
    changed(store, row, passage(1, VECTORS[1], content_hash="same"))

    again = changed(store, row, passage(1, VECTORS[2], content_hash="same", sequence=9))

    assert again == []
    assert store.read_sequence() == 9
    assert np.array_equal(next(store.passages(row)).vector, VECTORS[1])


def test_new_content_replaces_in_place(store: Store) -> None:
    row = docs(store)
    changed(store, row, passage(0, VECTORS[0]), passage(1, VECTORS[1]))

    again = changed(store, row, passage(0, VECTORS[5], text="new", sequence=7))

    assert [(each.slot, each.hit.text) for each in again] == [(0, "new")]
    assert store.count(row) == 2
    assert [hit and hit.text for hit in store.hits(row, [0])] == ["new"]


def test_a_passage_twice_in_one_batch_keeps_the_last_content(store: Store) -> None:
    row = docs(store)

    result = changed(
        store,
        row,
        passage(0, VECTORS[0], text="first", sequence=1),
        passage(0, VECTORS[1], text="second", sequence=2),
    )

    assert [each.hit.text for each in result] == ["second"]
    assert store.count(row) == 1


def test_one_id_of_two_tenants_or_collections_is_several_passages(store: Store) -> None:
    one, two = docs(store), docs(store, "other")

    changed(store, one, passage(0, VECTORS[0], tenant="acme"), passage(0, VECTORS[1]))
    changed(store, two, passage(0, VECTORS[2], sequence=3))

    assert [each.hit.tenant for each in store.passages(one)] == ["acme", "public"]
    assert store.count(one) == 2
    assert store.count(two) == 1
    assert next(store.passages(two)).slot == 0


def test_only_what_changed_after_a_sequence_is_listed(store: Store) -> None:
    row = docs(store)
    changed(store, row, *(passage(number, VECTORS[number]) for number in range(10)))
    changed(store, row, passage(3, VECTORS[30], text="new", sequence=11))

    assert store.changed_since(row, 8).tolist() == [3, 8, 9]


def test_a_restart_continues_where_the_last_one_stopped(store: Store, tmp_path: Path) -> None:
    row = docs(store)
    changed(store, row, passage(0, VECTORS[0]), passage(1, VECTORS[1], sequence=12))
    name = store.read_id()

    reopened = Store(tmp_path / "passages.db")

    assert (reopened.read_sequence(), reopened.read_id()) == (12, name)
    assert reopened.collections() == [row]
    added = changed(reopened, row, passage(2, VECTORS[2], sequence=13))
    assert [each.slot for each in added] == [2]
    reopened.close()


def test_a_batch_that_fails_leaves_neither_passages_nor_sequence(store: Store) -> None:
    row = docs(store)
    changed(store, row, passage(0, VECTORS[0]))
    broken = passage(2, VECTORS[2], sequence=5)
    object.__setattr__(broken, "sequence", None)

    with pytest.raises(sqlite3.IntegrityError):
        store.apply([(row, passage(1, VECTORS[1])), (row, broken)], 5)

    assert store.count(row) == 1
    assert store.read_sequence() == 1
    assert [each.slot for each in changed(store, row, passage(1, VECTORS[1]))] == [1]


def test_another_stream_starts_over_under_another_name(store: Store) -> None:
    row = docs(store)
    changed(store, row, passage(0, VECTORS[0], sequence=99))
    name = store.read_id()

    store.begin_stream("created-later")

    assert store.collections() == []
    assert (store.read_sequence(), store.read_stream()) == (0, "created-later")
    assert store.read_id() != name
    assert [each.slot for each in changed(store, docs(store), passage(0, VECTORS[0]))] == [0]


def test_a_bulk_load_is_read_like_any_passage(store: Store) -> None:
    row = docs(store)
    rows = [
        StoredPassage(slot, 0, passage(slot, VECTORS[slot]).hit, VECTORS[slot], b"")
        for slot in range(20)
    ]

    store.load(row, rows)

    assert store.count(row) == 20
    assert [hit and hit.id for hit in store.hits(row, [19, 7])] == ["p19", "p7"]
    assert [each.slot for each in changed(store, row, passage(30, VECTORS[30]))] == [20]


@pytest.mark.parametrize(
    "content", [b"no database at all, by far" * 40, None], ids=["text", "schema"]
)
def test_a_file_that_is_not_ours_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "passages.db"
    if content is None:
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 77")
    else:
        path.write_bytes(content)

    with pytest.raises(UnusableStore):
        Store(path)


def test_a_file_from_before_sparse_vectors_is_kept_and_can_hold_them(tmp_path: Path) -> None:
    path = tmp_path / "passages.db"
    store = Store(path)
    row = docs(store)
    changed(store, row, *(passage(number, VECTORS[number]) for number in range(3)))
    store.close()
    older = sqlite3.connect(path)
    older.executescript(
        "ALTER TABLE collection DROP COLUMN sparse; ALTER TABLE vectors DROP COLUMN sparse;"
        "PRAGMA user_version = 2;"
    )
    older.close()
    space = SparseSpace(namespace="learned_sparse.tiny.v1", vocabulary="0f" * 32, size=9)

    store = Store(path)
    [row] = store.collections()
    before = list(store.passages(row))
    row = store.set_sparse(row, space)
    changed(store, row, replace(passage(1, VECTORS[1], text="new", sequence=9), sparse=b"123456"))

    assert [each.hit.id for each in before] == ["p0", "p1", "p2"]
    assert {each.sparse for each in before} == {b""}
    assert [each.sparse for each in store.passages(row)] == [b"", b"123456", b""]
    assert store.collections() == [row]
    assert row.sparse == space
    store.close()
