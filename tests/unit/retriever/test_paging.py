"""Vectors page by page: each passage once, whoever answers, and no other tenant's id."""

from pathlib import Path

import numpy as np
import pytest

from services.retriever.passages.paging import page
from services.retriever.passages.store import CollectionRow, Store
from tests.unit.retriever.corpora import COMPONENT, DIMENSION, NAMESPACE, passage, unit
from trimtab.contracts.vectors import VectorsReply, VectorsRequest

VECTORS = unit(np.random.default_rng(0), 60)
LARGE = 1 << 20


def stored(path: Path, order: list[int], tenant: str = "public") -> CollectionRow:
    """Store passages in an order of their own: their slots differ, their sequences do not."""
    store = Store(path)
    row = store.add_collection("docs", NAMESPACE, COMPONENT, DIMENSION, 0)
    for number in order:
        store.apply([(row, passage(number, VECTORS[number], tenant=tenant))], 60)
    store.close()
    return row


def everything(path: Path, row: CollectionRow, limit: int, tenant: str = "public") -> VectorsReply:
    ids, vectors, after, more, last = [], [], -1, True, None
    while more:
        asked = VectorsRequest(collection="docs", after=after, limit=limit)
        last = page(path, row, asked, tenant, LARGE)
        ids += last.ids
        vectors.append(last.vectors.array())
        after, more = last.last, last.more
    assert last is not None
    assert len(ids) == last.passages == sum(map(len, vectors))
    assert np.array_equal(np.concatenate(vectors), VECTORS[[int(name[1:]) for name in ids]])
    return last


@pytest.mark.parametrize("limit", [1, 7, 60, 4096])
def test_pages_hold_every_passage_once_with_its_vector(limit: int, tmp_path: Path) -> None:
    row = stored(tmp_path / "a.db", list(range(60)))

    last = everything(tmp_path / "a.db", row, limit)

    assert (last.namespace, last.encoder) == (NAMESPACE, COMPONENT)


def test_pages_of_two_workers_that_numbered_their_slots_otherwise_fit_together(
    tmp_path: Path,
) -> None:
    order = np.random.default_rng(1).permutation(60).tolist()
    one, two = tmp_path / "a.db", tmp_path / "b.db"
    row, other = stored(one, list(range(60))), stored(two, order)

    first = page(one, row, VectorsRequest(collection="docs", limit=25), "public", LARGE)
    rest = page(two, other, VectorsRequest(collection="docs", after=first.last), "public", LARGE)

    assert sorted([*first.ids, *rest.ids]) == sorted(f"p{number}" for number in range(60))
    assert not rest.more


def test_a_page_stays_below_what_a_message_may_hold(tmp_path: Path) -> None:
    row = stored(tmp_path / "a.db", list(range(60)))

    found = page(tmp_path / "a.db", row, VectorsRequest(collection="docs"), "public", 4000)

    assert found.more
    assert 1 <= len(found.ids) == found.vectors.rows <= 4000 // (4 * DIMENSION)


def test_vectors_of_other_tenants_come_without_their_ids(tmp_path: Path) -> None:
    row = stored(tmp_path / "a.db", list(range(10)), tenant="acme")

    asked = VectorsRequest(collection="docs")
    own = page(tmp_path / "a.db", row, asked, "acme", LARGE)
    foreign = page(tmp_path / "a.db", row, asked, "globex", LARGE)

    assert own.ids == [f"p{number}" for number in range(10)]
    assert foreign.ids == [""] * 10
    assert foreign.vectors == own.vectors


def test_an_empty_collection_has_an_empty_page(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.db")
    empty = store.add_collection("empty", NAMESPACE, COMPONENT, DIMENSION, 0)
    store.close()

    nothing = page(tmp_path / "a.db", empty, VectorsRequest(collection="empty"), "public", LARGE)

    assert (nothing.ids, nothing.more, nothing.last, nothing.passages) == ([], False, -1, 0)
