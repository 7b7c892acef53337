"""A passage that the stream says is gone: out of the store, of every index, of what was saved before."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from services.retriever.catalogue import Catalogue
from services.retriever.dense.ivf import IvfLists
from services.retriever.edition import Edition
from services.retriever.passages.feed import FeedMessage
from services.retriever.passages.intake import Intake
from services.retriever.passages.passage import Passage, Refusal, Removal
from services.retriever.passages.store import FILE, Applied, CollectionRow, Store, StoredPassage
from services.retriever.plan import Plan
from services.retriever.search import retrieve
from services.retriever.words.terms import english_stemmer, terms
from tests.unit.retriever.corpora import (
    COMPONENT,
    DIMENSION,
    NAMESPACE,
    PLAN,
    build,
    clustered,
    passage,
    request,
    take_in,
    train,
)
from tests.unit.retriever.stream import feed_messages, gone, message, record
from trimtab.contracts.documents import FindPassages, FoundPassages
from trimtab.telemetry import logs

RNG = np.random.default_rng(11)
VECTORS = clustered(RNG, 400, 16)
WITH_IVF = msgspec.structs.replace(PLAN, dense=msgspec.structs.replace(PLAN.dense, flat_below=100))
FIRST = "hybrid@1"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "passages.db")
    yield opened
    opened.close()


def docs(store: Store) -> CollectionRow:
    return store.add_collection("docs", NAMESPACE, COMPONENT, DIMENSION, 0)


def apply(store: Store, row: CollectionRow, *changes: Passage | Removal) -> Applied:
    sequence = max(change.sequence for change in changes)
    return store.apply([(row, change) for change in changes], sequence).get(row.name, Applied())


def removal(number: int, sequence: int, tenant: str = "public") -> Removal:
    return Removal(sequence, "docs", tenant, f"p{number}")


# --- the store ---


def test_a_removed_passage_is_nowhere_in_the_store(store: Store) -> None:
    row = docs(store)
    apply(store, row, *(passage(number, VECTORS[number]) for number in range(4)))

    applied = apply(store, row, removal(2, 9))

    assert applied == Applied({}, {2})
    assert [stored.hit.id for stored in store.passages(row)] == ["p0", "p1", "p3"]
    assert (store.count(row), store.read_sequence()) == (3, 9)
    assert store.hits(row, [2, 3])[0] is None
    assert store.slots_of(row, ["p2", "p3"], ["public"]).tolist() == [3]


def test_removing_what_is_not_there_changes_nothing(store: Store) -> None:
    row = docs(store)
    apply(store, row, passage(0, VECTORS[0], tenant="acme"))

    applied = apply(store, row, removal(7, 5), removal(0, 6, tenant="globex"), removal(0, 7))

    assert applied == Applied()
    assert store.count(row) == 1


def test_a_freed_slot_is_given_again_but_not_within_its_batch(store: Store) -> None:
    row = docs(store)
    apply(store, row, *(passage(number, VECTORS[number]) for number in range(3)))

    same = apply(store, row, removal(1, 4), passage(10, VECTORS[10], sequence=5))
    later = apply(store, row, passage(11, VECTORS[11], sequence=6))
    last = apply(store, row, passage(12, VECTORS[12], sequence=7))

    assert (list(same.changed), same.removed) == ([3], {1})
    assert list(later.changed) == [1], "searches of the batch before are over"
    assert list(last.changed) == [4]


def test_a_restart_gives_the_free_slots_and_no_slot_twice(store: Store, tmp_path: Path) -> None:
    row = docs(store)
    apply(store, row, *(passage(number, VECTORS[number]) for number in range(5)))
    apply(store, row, removal(1, 6), removal(4, 7))  # the highest one too

    reopened = Store(tmp_path / "passages.db")
    given = apply(
        reopened, row, *(passage(n, VECTORS[n], sequence=n) for n in range(20, 24))
    ).changed

    assert sorted(given) == [1, 4, 5, 6]
    assert len({stored.slot for stored in reopened.passages(row)}) == reopened.count(row) == 7
    reopened.close()


def test_the_highest_slot_is_not_given_within_the_batch_that_frees_it(
    store: Store, tmp_path: Path
) -> None:
    row = docs(store)
    apply(store, row, *(passage(number, VECTORS[number]) for number in range(5)))

    reopened = Store(tmp_path / "passages.db")
    applied = apply(reopened, row, removal(4, 6), passage(9, VECTORS[9], sequence=7))

    assert (list(applied.changed), applied.removed) == ([5], {4})
    reopened.close()


def test_a_batch_that_fails_leaves_its_removals_undone(store: Store) -> None:
    row = docs(store)
    apply(store, row, passage(0, VECTORS[0]), passage(1, VECTORS[1]))
    broken = passage(2, VECTORS[2], sequence=5)
    object.__setattr__(broken, "sequence", None)

    with pytest.raises(Exception, match="NOT NULL"):
        store.apply([(row, removal(0, 4)), (row, broken)], 5)

    assert store.count(row) == 2
    assert list(apply(store, row, passage(3, VECTORS[3], sequence=6)).changed) == [2]


@pytest.mark.parametrize("last", ["put", "remove"])
def test_a_passage_put_and_removed_in_one_batch_is_as_it_is_at_the_end(
    store: Store, last: str
) -> None:
    row = docs(store)
    apply(store, row, passage(0, VECTORS[0]))
    again = passage(0, VECTORS[1], text="again", sequence=3)
    order: list[Passage | Removal] = (
        [removal(0, 2), again] if last == "put" else [again, removal(0, 4)]
    )

    applied = apply(store, row, *order)

    assert not applied.removed & set(applied.changed)
    assert store.count(row) == len(applied.changed) == (1 if last == "put" else 0)


def test_removed_slots_are_listed_with_what_changed_after_a_sequence(store: Store) -> None:
    row = docs(store)
    apply(store, row, *(passage(number, VECTORS[number]) for number in range(10)))
    apply(store, row, removal(3, 20), removal(9, 21))

    assert store.changed_since(row, 9).tolist() == [3, 9]
    assert store.changed_since(row, 20).tolist() == [9]
    assert list(apply(store, row, passage(30, VECTORS[30], sequence=22)).changed) in ([3], [9])
    assert store.changed_since(row, 19).tolist() == [3, 9], "the taken one has new content"
    assert store.changed_since(row, 22).tolist() == []


def test_passages_are_found_by_article_for_their_owner_alone(store: Store) -> None:
    row = docs(store)
    apply(
        store,
        row,
        *(passage(number, VECTORS[number]) for number in range(8)),
        passage(1, VECTORS[1], tenant="acme", sequence=9),
    )

    assert store.ids_of(row, ["a0"], "public", 10) == ["p0", "p1", "p2", "p3"]
    assert store.ids_of(row, ["a0", "a1"], "acme", 10) == ["p1"]
    assert store.ids_of(row, ["a0", "a1"], "public", 5) == ["p0", "p1", "p2", "p3", "p4"]


# --- a batch of the stream ---


def test_what_the_store_holds_is_passed_over_so_that_nothing_comes_back(store: Store) -> None:
    intake = Intake(store)
    old = feed_messages([message("a", VECTORS[0]), message("b", VECTORS[1])])
    intake.take(old)
    intake.take(feed_messages([gone("a")], start=3))

    again = intake.take(old)

    assert (again.changes, again.removed, again.sequence) == ({}, {}, 3)
    assert [stored.hit.id for stored in store.passages(store.collections()[0])] == ["b"]


def test_a_removal_from_a_collection_that_never_was_is_nothing(store: Store) -> None:
    taken = Intake(store).take(feed_messages([gone("a", collection="never")]))

    assert (taken.rows, taken.removed, taken.sequence) == ({}, {}, 1)
    assert not taken.refused


def test_a_record_begins_a_collection_before_its_first_passage(store: Store) -> None:
    taken = Intake(store).take(feed_messages([record()]))

    assert (taken.rows["docs"].namespace, taken.rows["docs"].dimension) == (NAMESPACE, DIMENSION)
    assert taken.changes == {}


def test_the_record_decides_whatever_passage_comes_first_in_a_replay(store: Store) -> None:
    """An upsert moves its passage to the end of the stream: the first one left may be a refused one."""
    foreign = message("x", VECTORS[0], namespace="single_vector.other.16.v1")

    taken = Intake(store).take(feed_messages([record(), foreign, message("a", VECTORS[1])]))

    assert taken.refused == {Refusal.NAMESPACE: 1}
    assert [change.stored.hit.id for change in taken.changes["docs"]] == ["a"]


def test_a_record_that_contradicts_the_collection_is_counted(store: Store) -> None:
    intake = Intake(store)

    taken = intake.take(
        feed_messages(
            [record(), record(namespace="single_vector.other.16.v1"), record(dimension=8)]
        )
    )

    assert taken.refused == {Refusal.NAMESPACE: 1, Refusal.DIMENSION: 1}
    assert taken.rows["docs"].namespace == NAMESPACE


def test_an_entry_of_a_newer_version_is_counted_and_passed_over(store: Store) -> None:
    taken = Intake(store).take([FeedMessage(1, b"\x80", "moved"), *feed_messages([record()], 2)])

    assert taken.refused == {Refusal.UNREADABLE: 1}
    assert taken.sequence == 2


# --- what searches ---


def flat(vectors: NDArray[np.float32], tenants: Sequence[str] | None = None) -> Edition:
    return build(vectors, tenants=tenants, with_tokens=True)[0]


def ivf(vectors: NDArray[np.float32], tenants: Sequence[str] | None = None) -> Edition:
    edition = flat(vectors, tenants)
    train(edition, 12)
    return edition


Make = Callable[..., Edition]
both = pytest.mark.parametrize("make", [flat, ivf])


def ids(edition: Edition, number: int, text: str = "", tenant: str = "public") -> list[str]:
    asked = request(VECTORS[number], text=text, limit=50)
    found = retrieve(edition, asked, tenant, english_stemmer(), 700_000)
    return [hit.id for hit in found.reply.hits]


def slots(*numbers: int) -> NDArray[np.int64]:
    return np.array(numbers, dtype=np.int64)


@both
def test_a_removed_passage_is_found_neither_by_its_vector_nor_by_its_words(make: Make) -> None:
    edition = make(VECTORS[:300])
    assert ids(edition, 7, "number7")[0] == "p7"
    before = edition.collection.token_bytes

    edition.collection.remove(slots(7, 299), 400)

    assert "p7" not in ids(edition, 7, "number7")
    assert "p299" not in ids(edition, 299, "number299")
    assert len(ids(edition, 7, "number7")) == 50
    assert (edition.collection.size, edition.collection.version) == (298, "docs@400")
    assert edition.collection.token_bytes < before
    assert edition.lexical.size == 298, "what a word is worth is counted without them"
    assert edition.collection.slots_of(["p7", "p8"], "public").tolist() in ([8], [7, 8])
    if edition.index is not None:
        assert edition.index.entries == 298


@both
def test_removing_again_and_removing_unknown_slots_changes_nothing(make: Make) -> None:
    edition = make(VECTORS[:120])
    edition.collection.remove(slots(5), 200)
    generation = edition.collection.generation

    edition.collection.remove(slots(5, 4000), 201)

    assert (edition.collection.size, edition.collection.generation) == (119, generation)


@pytest.mark.parametrize("lists", [0, 12], ids=["flat", "ivf"])
def test_a_slot_that_another_tenants_passage_takes_shows_nothing_of_the_one_before(
    lists: int,
) -> None:
    edition, stored = build(VECTORS[:200], tenants=["acme"] * 200)
    if lists:
        train(edition, lists)
    assert ids(edition, 9, "number9", tenant="acme")[0] == "p9"

    edition.collection.remove(slots(9), 300)
    other = passage(500, VECTORS[390], tenant="globex", text="entirely different")
    stored[9] = StoredPassage(9, 301, other.hit, other.vector, b"")
    take_in(edition.collection, [stored[9]])

    assert ids(edition, 9, "number9", tenant="globex") == ["p500"]
    assert "p500" not in ids(edition, 390, "entirely different", tenant="acme")
    visible = edition.collection.visible("globex")
    matches = edition.matches(terms("number9", english_stemmer()), 10, visible, slots(9))
    assert (matches.slots.tolist(), matches.others.tolist()) == ([], [0.0])


def test_a_passage_whose_removal_is_durable_but_not_applied_is_left_out_of_the_reply() -> None:
    edition, _ = build(VECTORS[:60])
    best = ids(edition, 3)
    gone_already = {int(name[1:]) for name in best[:2]}
    edition.collection._hits.forget(range(60))
    reads = edition.collection._hits._read
    edition.collection._hits._read = lambda wanted: [
        None if slot in gone_already else hit
        for slot, hit in zip(wanted, reads(wanted), strict=True)
    ]

    asked = request(VECTORS[3], limit=50)
    found = retrieve(edition, asked, "public", english_stemmer(), 700_000).reply

    assert len(found.hits) == 48
    assert found.signals is not None
    assert (found.signals.fused.dim, found.signals.gram.rows) == (48, 48)
    assert {f"p{number}" for number in gone_already}.isdisjoint(hit.id for hit in found.hits)


# --- what was saved, and what is being built ---


@asynccontextmanager
async def opened(state: Path, plan: Plan) -> AsyncIterator[Catalogue]:
    catalogue = Catalogue(state, 700_000, logs.get("retriever", "r-0"))
    try:
        await catalogue.load()
        await catalogue.add(FIRST, plan)
        yield catalogue
    finally:
        await catalogue.close()


async def names(catalogue: Catalogue, number: int, text: str = "", limit: int = 50) -> list[str]:
    asked = request(VECTORS[number], text=text, limit=limit)
    found = await catalogue.retrieve(FIRST, asked, "public")
    return [hit.id for hit in found.reply.hits]


async def test_a_snapshot_forgets_what_was_removed_after_it(tmp_path: Path) -> None:
    first = feed_messages([message(f"p{n}", VECTORS[n]) for n in range(200)])
    async with opened(tmp_path, WITH_IVF) as catalogue:
        await catalogue.apply(first)
        await catalogue.caretaker.settle()
    store = Store(tmp_path / FILE)
    # Behind the worker's back, as after a crash between the store and the index: the highest slot too,
    # and one that another passage has taken since.
    intake = Intake(store)
    intake.take(feed_messages([gone("p5"), gone("p199"), gone("p70")], 201))
    intake.take(feed_messages([message("new", VECTORS[300])], 204))
    store.close()

    async with opened(tmp_path, WITH_IVF) as catalogue:
        edition = catalogue.get(FIRST, "docs")

        assert edition.kind == "ivf"
        assert edition.index is not None
        assert (edition.collection.size, edition.index.entries) == (198, 198)
        for number in (5, 199, 70):
            assert f"p{number}" not in await names(catalogue, number, f"words of p{number}")
        assert (await names(catalogue, 300))[0] == "new"


async def test_what_is_removed_while_an_index_is_built_is_not_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path, WITH_IVF) as catalogue:
        await catalogue.apply(feed_messages([message(f"p{n}", VECTORS[n]) for n in range(99)]))
        trained, proceed = threading.Event(), threading.Event()
        make = IvfLists.__init__

        def slowly(lists: IvfLists, made: object) -> None:
            trained.set()
            proceed.wait(60)
            make(lists, made)

        monkeypatch.setattr(IvfLists, "__init__", slowly)
        await catalogue.apply(feed_messages([message("p99", VECTORS[99])], 100))
        settling = asyncio.create_task(catalogue.caretaker.settle())
        await asyncio.to_thread(trained.wait, 60)
        await catalogue.apply(feed_messages([gone("p0"), gone("p50"), gone("p99")], 101))
        proceed.set()
        await settling

        edition = catalogue.get(FIRST, "docs")
        assert edition.kind == "ivf"
        assert edition.index is not None
        assert edition.index.entries == edition.collection.size == 97
        for number in (0, 50, 99):
            assert f"p{number}" not in await names(catalogue, number, f"words of p{number}")


async def test_a_look_up_waits_for_the_sequence_that_it_is_asked_for(tmp_path: Path) -> None:
    async with opened(tmp_path, PLAN) as catalogue:
        await catalogue.apply(feed_messages([message("a", VECTORS[0])]))
        asked = FindPassages(collection="docs", articles=["a", "b"], sequence=2)
        asking = asyncio.create_task(catalogue.find(FIRST, asked, "public"))
        await asyncio.sleep(0)
        assert not asking.done()

        await catalogue.apply(feed_messages([message("b", VECTORS[1])], 2))

        assert await asking == FoundPassages(ids=["a", "b"], more=False)
