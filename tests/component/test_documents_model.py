"""Whatever is put, removed, restarted and replayed: each tenant sees what a plain dict says, and nothing else."""

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.retriever.catalogue import Catalogue
from services.retriever.passages.feed import FeedMessage
from tests.unit.retriever.corpora import PLAN, clustered, request
from tests.unit.retriever.stream import entry_of, feed_messages, gone, message, record
from trimtab.contracts.documents import IndexedPassage, RemovedPassage
from trimtab.contracts.retrieve import EVERY_LIST
from trimtab.telemetry import logs

COMPONENT = "hybrid@1"
PLAN_SMALL = msgspec.structs.replace(PLAN, dense=msgspec.structs.replace(PLAN.dense, flat_below=12))
"""IVF from a dozen passages on, so that both kinds of index are met."""

VECTORS = clustered(np.random.default_rng(2), 40, 6)
WORDS = ("otter", "heron", "weir", "bridge", "eel", "reed")
TENANTS = ("acme", "globex", "public")
COLLECTIONS = ("docs", "other")
EVERYTHING = 200

Key = tuple[str, str, str]
"""Collection, tenant and id of a passage."""

keys = st.tuples(
    st.sampled_from(COLLECTIONS),
    st.sampled_from(TENANTS),
    st.integers(0, 11).map(lambda number: f"p{number}"),
)
contents = st.tuples(st.integers(0, len(VECTORS) - 1), st.sampled_from(WORDS))
changes = st.lists(
    st.one_of(st.tuples(keys, contents), st.tuples(keys, st.none())), min_size=1, max_size=12
)


class Life(RuleBasedStateMachine):
    """One worker, its stream as the server keeps it, and the model."""

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._folder = Path(tempfile.mkdtemp(prefix="documents-"))
        self._model: dict[Key, tuple[int, str]] = {}
        self._stream: dict[object, FeedMessage] = {}
        self._sequence = 0
        self._opened = 0

    @initialize()
    def begin(self) -> None:
        self._worker = self._run(self._open(self._folder / "worker"))
        for collection in COLLECTIONS:
            self._sequence += 1
            [each] = feed_messages([record(collection=collection)], self._sequence)
            self._stream[collection] = each
        self._apply(list(self._stream.values()))

    @rule(changes=changes)
    def change(self, changes: list[tuple[Key, tuple[int, str] | None]]) -> None:
        """One batch of the stream: each change stands where the server would put it."""
        batch: dict[Key, FeedMessage] = {}
        for key, content in changes:
            self._sequence += 1
            entry = _entry(key, content)
            [each] = feed_messages([entry], self._sequence)
            assert each.entry == entry_of(entry)
            self._stream[key] = each
            batch[key] = each
            if content is None:
                self._model.pop(key, None)
            else:
                self._model[key] = content
        # A reader may get the messages between or not: an overwritten one is gone from the server.
        self._apply(sorted(batch.values(), key=lambda each: each.sequence))

    @rule()
    def deliver_again(self) -> None:
        """The whole stream once more: a reader that lost its place."""
        self._apply(self._in_order())

    @precondition(lambda self: self._model)
    @rule()
    def build_indexes(self) -> None:
        self._run(self._worker.caretaker.settle())

    @rule()
    def restart(self) -> None:
        """An orderly stop saves a snapshot; the next start reads it."""
        self._run(self._worker.close())
        self._worker = self._run(self._open(self._folder / "worker"))

    @rule()
    def crash(self) -> None:
        """Nothing is saved: the next start has the store alone, and whatever snapshot lay there."""
        self._opened += 1
        left = self._folder / f"left-{self._opened}"
        shutil.copytree(self._folder / "worker", left)
        self._run(self._worker.close())
        shutil.rmtree(self._folder / "worker")
        left.rename(self._folder / "worker")
        self._worker = self._run(self._open(self._folder / "worker"))

    @invariant()
    def each_tenant_sees_its_own_passages_and_the_public_ones(self) -> None:
        if self._sequence:
            self._check(self._worker)

    def teardown(self) -> None:
        try:
            if self._sequence:
                fresh = self._run(self._open(self._folder / "fresh"))
                self._run(fresh.apply(self._in_order()))
                self._check(fresh)
                self._run(fresh.close())
                self._run(self._worker.close())
        finally:
            self._runner.close()
            shutil.rmtree(self._folder)

    def _check(self, worker: Catalogue) -> None:
        for collection in COLLECTIONS:
            owned = {key: content for key, content in self._model.items() if key[0] == collection}
            assert worker.get(COMPONENT, collection).collection.size == len(owned)
            for tenant in (*TENANTS, "nobody"):
                visible = {
                    (key[1], key[2]): content
                    for key, content in owned.items()
                    if key[1] in (tenant, "public")
                }
                found = self._search(worker, collection, tenant, VECTORS[0], "")
                assert found == set(visible)
                for word in WORDS[:3]:
                    has = {key for key, (_, said) in visible.items() if said == word}
                    by_word = worker.get(COMPONENT, collection)
                    slots = by_word.matches(
                        [word], EVERYTHING, by_word.collection.visible(tenant), NO_SLOTS
                    ).slots
                    _, hits = by_word.collection.hits(slots)
                    assert {(hit.tenant, hit.id) for hit in hits} == has

    def _search(
        self, worker: Catalogue, collection: str, tenant: str, vector: Any, text: str
    ) -> set[tuple[str, str]]:
        asked = msgspec.structs.replace(
            request(vector, text=text, limit=EVERYTHING, nprobe=EVERY_LIST - 1),
            collection=collection,
        )
        reply = self._run(worker.retrieve(COMPONENT, asked, tenant)).reply
        found = [(hit.tenant, hit.id) for hit in reply.hits]
        assert len(found) == len(set(found))
        for hit in reply.hits:
            content = self._model[collection, hit.tenant, hit.id]
            assert hit.text == _text(content), "what was stored last"
        return set(found)

    def _apply(self, batch: list[FeedMessage]) -> None:
        self._run(self._worker.apply(batch))
        assert self._worker.sequence == self._sequence

    def _in_order(self) -> list[FeedMessage]:
        return sorted(self._stream.values(), key=lambda each: each.sequence)

    async def _open(self, state: Path) -> Catalogue:
        await asyncio.to_thread(state.mkdir, exist_ok=True)
        catalogue = Catalogue(state, 700_000, logs.get("retriever", "r-0"))
        await catalogue.load()
        await catalogue.add(COMPONENT, PLAN_SMALL)
        return catalogue

    def _run(self, work: Any) -> Any:
        return self._runner.run(work)


NO_SLOTS = np.empty(0, dtype=np.int64)


def _text(content: tuple[int, str]) -> str:
    number, word = content
    return f"{word} v{number}"


def _entry(key: Key, content: tuple[int, str] | None) -> IndexedPassage | RemovedPassage:
    collection, tenant, name = key
    if content is None:
        return gone(name, tenant=tenant, collection=collection)
    return message(
        name, VECTORS[content[0]], text=_text(content), tenant=tenant, collection=collection
    )


Life.TestCase.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)


class TestDocuments(Life.TestCase):  # type: ignore[misc,valid-type]
    """Random lives of two collections of three tenants."""
