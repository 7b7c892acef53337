"""The index of learned sparse vectors finds what an exact inner product finds, whatever came, went and was merged."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.retriever.passages.loading import load_collection
from services.retriever.passages.passage import Passage, packed, unpacked
from services.retriever.passages.store import FILE, CollectionRow, Store
from services.retriever.passages.visibility import Visibility, VisibleSet
from services.retriever.plan import Leg
from services.retriever.search import retrieve
from services.retriever.words.sparse import SparseIndex
from services.retriever.words.terms import english_stemmer
from tests.unit.retriever.corpora import (
    COMPONENT,
    DIMENSION,
    NAMESPACE,
    PLAN,
    attached,
    passage,
    refresh_lexical,
    request,
    unit,
)
from trimtab.contracts.errors import NamespaceMismatch
from trimtab.contracts.retrieve import RetrieveReply, SparseUse
from trimtab.contracts.sparse import SparseRow, SparseSpace, SparseVectors

TERMS = 40
SPACE = SparseSpace(namespace="learned_sparse.tiny.v1", vocabulary="0f" * 32, size=TERMS)
VECTORS = unit(np.random.default_rng(0), 400)


def drawn(rng: np.random.Generator, terms: int = 6) -> SparseRow:
    """A vector whose weights are what the store keeps of them."""
    ids = np.sort(rng.choice(TERMS, size=terms, replace=False)).astype(np.uint32)
    weights = rng.uniform(0.1, 3.0, size=terms).astype(np.float16)
    return SparseRow(ids, weights.astype(np.float32))


def dense(row: SparseRow) -> NDArray[np.float64]:
    whole = np.zeros(TERMS)
    whole[row.ids] = row.weights
    return whole


def products(held: dict[int, SparseRow], query: SparseRow) -> dict[int, float]:
    """The definition: every slot that shares a term, with its inner product."""
    asked = dense(query)
    found = {slot: float(dense(row) @ asked) for slot, row in held.items()}
    return {slot: score for slot, score in found.items() if score > 0}


def everything(slots: int = 400) -> VisibleSet:
    return VisibleSet(slots, True, np.full(slots // 8 + 1, 255, dtype=np.uint8))


def equal_to_the_definition(
    index: SparseIndex, held: dict[int, SparseRow], query: SparseRow, limit: int, seen: VisibleSet
) -> None:
    """Scores decide, not the order of equal ones."""
    expected = products(held, query)
    shown = {slot: score for slot, score in expected.items() if seen.contains(np.array([slot]))[0]}

    found = index.search(query, limit, seen, np.arange(400))

    best = sorted(shown.values(), reverse=True)[:limit]
    np.testing.assert_allclose(found.scores, best, rtol=1e-5)
    for slot, score in zip(found.slots.tolist(), found.scores.tolist(), strict=True):
        assert score == pytest.approx(shown[slot], rel=1e-5)
    assert len(set(found.slots.tolist())) == len(found.slots)
    whole = [expected.get(slot, 0.0) for slot in range(400)]
    np.testing.assert_allclose(found.others, whole, rtol=1e-5)
    np.testing.assert_allclose(index.scores(query, np.arange(400)), whole, rtol=1e-5)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_it_finds_what_an_exact_product_finds_after_any_changes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    index, held = SparseIndex(), dict[int, SparseRow]()
    merge = None
    for _ in range(int(rng.integers(1, 12))):
        slots = rng.choice(400, size=int(rng.integers(1, 80)), replace=False)
        if rng.random() < 0.3:
            index.remove(slots)
            held = {slot: row for slot, row in held.items() if slot not in slots}
        else:
            rows = [drawn(rng, int(rng.integers(0, 9))) for _ in slots]
            index.put(slots, rows)
            held |= dict(zip(slots.tolist(), rows, strict=True))
        if merge is None:
            merge = index.due()
        elif rng.random() < 0.5:  # changes came between a merge's begin and its end
            index.adopt(merge, merge.run())
            merge = None

    equal_to_the_definition(index, held, drawn(rng), int(rng.integers(1, 40)), everything())
    assert index.size == sum(len(row.ids) > 0 for row in held.values())


def test_what_a_tenant_may_not_see_is_not_found_and_takes_no_place() -> None:
    rng = np.random.default_rng(1)
    held = {slot: drawn(rng) for slot in range(400)}
    index, visibility = SparseIndex(), Visibility()
    index.put(np.arange(400), list(held.values()))
    visibility.put(np.arange(400), ["acme" if slot % 3 else "public" for slot in range(400)])

    for tenant in ("acme", "other"):
        equal_to_the_definition(index, held, drawn(rng), 25, visibility.of(tenant))


def test_an_empty_query_and_an_empty_index_find_nothing() -> None:
    index, nothing = SparseIndex(), drawn(np.random.default_rng(2), 0)

    assert (
        index.search(drawn(np.random.default_rng(2)), 5, everything(), np.arange(3)).slots.size == 0
    )
    index.put(np.arange(1), [drawn(np.random.default_rng(3))])
    assert index.search(nothing, 5, everything(), np.arange(3)).slots.size == 0


def test_many_small_changes_are_merged_into_few_segments() -> None:
    rng, index = np.random.default_rng(4), SparseIndex()
    for slot in range(390):
        index.put(np.array([slot]), [drawn(rng)])
        index.settle()

    assert index.segments <= 6
    assert index.size == 390


def test_what_is_stored_is_the_vector_with_weights_of_16_bits() -> None:
    row = SparseRow(np.array([1, 39], dtype=np.uint32), np.array([0.1, 2.0], dtype=np.float32))

    back = unpacked(packed(row))

    assert len(packed(row)) == 12
    np.testing.assert_array_equal(back.ids, row.ids)
    np.testing.assert_array_equal(back.weights, row.weights.astype(np.float16))
    assert unpacked(b"").ids.size == 0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / FILE)
    yield opened
    opened.close()


def sparse_passage(number: int, row: SparseRow, text: str = "", sequence: int = 0) -> Passage:
    made = passage(number, VECTORS[number], text=text, sequence=sequence or number + 1)
    return replace(made, sparse=packed(row), space=SPACE)


def docs(store: Store) -> CollectionRow:
    row = store.add_collection("docs", NAMESPACE, COMPONENT, DIMENSION, 0)
    return store.set_sparse(row, SPACE)


def ask(
    store: Store,
    row: CollectionRow,
    query: SparseRow | None,
    legs: tuple[Leg, ...],
    limit: int = 10,
) -> RetrieveReply:
    plan = msgspec.structs.replace(PLAN, legs=legs)
    collection = load_collection(store, row)
    edition = attached(collection, plan)
    refresh_lexical(edition)
    asked = request(VECTORS[0], text="number7", limit=limit)
    if query is not None:
        asked = msgspec.structs.replace(asked, sparse=SparseVectors.of(SPACE, [query]))
    return retrieve(edition, asked, "public", english_stemmer(), 700_000).reply


def test_a_loaded_collection_searched_by_sparse_vectors_alone_is_exact(store: Store) -> None:
    rng, row = np.random.default_rng(5), docs(store)
    held = {slot: drawn(rng) for slot in range(60)}
    store.apply([(row, sparse_passage(slot, held[slot])) for slot in held], 60)
    again = drawn(rng)
    store.apply([(row, sparse_passage(5, again, text="new", sequence=61))], 61)
    held[5], query = again, drawn(rng)

    reply = ask(store, store.collections()[0], query, ("sparse",), 20)

    expected = sorted(products(held, query).values(), reverse=True)[:20]
    assert reply.sparse is SparseUse.USED
    assert reply.signals is not None
    assert reply.signals.sparse is not None
    np.testing.assert_allclose(reply.signals.sparse.array()[0], expected, rtol=1e-5)
    scores = products(held, query)
    for hit, score in zip(reply.hits, reply.signals.sparse.array()[0].tolist(), strict=True):
        assert score == pytest.approx(scores[int(hit.id[1:])], rel=1e-5)


def test_three_legs_find_the_best_of_each_and_score_all_of_them(store: Store) -> None:
    rng, row = np.random.default_rng(6), docs(store)
    held = {slot: drawn(rng) for slot in range(60)}
    store.apply([(row, sparse_passage(slot, held[slot])) for slot in held], 60)
    query = drawn(rng)

    reply = ask(store, row, query, ("dense", "words", "sparse"), 60)

    found = [int(hit.id[1:]) for hit in reply.hits]
    assert reply.signals is not None
    assert reply.signals.sparse is not None
    assert {0, 7, max(held, key=lambda slot: products(held, query).get(slot, 0.0))} <= set(found)
    expected = [products(held, query).get(slot, 0.0) for slot in found]
    np.testing.assert_allclose(reply.signals.sparse.array()[0], expected, rtol=1e-5)


def test_without_a_query_vector_the_other_legs_answer_and_the_reply_says_so(store: Store) -> None:
    rng, row = np.random.default_rng(7), docs(store)
    store.apply([(row, sparse_passage(slot, drawn(rng))) for slot in range(20)], 20)

    three = ask(store, row, None, ("dense", "words", "sparse"))
    alone = ask(store, row, None, ("sparse",))
    two = ask(store, row, drawn(rng), ("dense", "words"))

    assert (three.sparse, alone.sparse) == (SparseUse.NO_VECTOR, SparseUse.NO_VECTOR)
    assert alone.hits[0].id == "p0", "the vectors answer when nothing else is left"
    assert two.sparse is None
    assert [hit.id for hit in three.hits] == [hit.id for hit in two.hits]


def test_a_collection_without_sparse_vectors_is_searched_by_the_others(store: Store) -> None:
    row = store.add_collection("docs", NAMESPACE, COMPONENT, DIMENSION, 0)
    store.apply([(row, passage(slot, VECTORS[slot])) for slot in range(20)], 20)

    reply = ask(store, row, drawn(np.random.default_rng(8)), ("dense", "words", "sparse"))

    assert reply.sparse is SparseUse.NO_PASSAGES
    assert reply.hits[0].id == "p0"


def test_a_query_of_another_vocabulary_is_refused(store: Store) -> None:
    row = docs(store)
    store.apply([(row, sparse_passage(0, drawn(np.random.default_rng(9))))], 1)
    edition = attached(load_collection(store, row), PLAN)
    other = msgspec.structs.replace(SPACE, vocabulary="ee" * 32)
    query = SparseVectors.of(other, [drawn(np.random.default_rng(9))])
    asked = msgspec.structs.replace(request(VECTORS[0]), sparse=query)

    with pytest.raises(NamespaceMismatch, match="learned_sparse"):
        retrieve(edition, asked, "public", english_stemmer(), 700_000)
