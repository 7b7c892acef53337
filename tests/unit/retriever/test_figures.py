"""What the retriever counts of itself for runbook 5's dashboard: passages that came and went, likeness of the first five."""

from pathlib import Path

import numpy as np
import pytest

from services.retriever.search import retrieve
from services.retriever.words.terms import english_stemmer
from tests.unit.retriever.corpora import PLAN, build, clustered, request
from tests.unit.retriever.stream import Entries, feed_messages, gone, message
from tests.unit.retriever.test_catalogue import opened
from trimtab.telemetry.metrics import REGISTRY

VECTORS = clustered(np.random.default_rng(5), 40, 4)
STEM = english_stemmer()
BYTES = 700_000


def counted(name: str, collection: str) -> float | None:
    return REGISTRY.get_sample_value(name, {"collection": collection})


def changed(collection: str) -> tuple[float | None, float | None]:
    """Return the passages upserted and removed so far."""
    names = ("retriever_passages_upserted_total", "retriever_passages_removed_total")
    return counted(names[0], collection), counted(names[1], collection)


async def test_passages_that_come_are_replaced_and_go_are_counted_once(tmp_path: Path) -> None:
    name = "counted-once"
    came = [message(f"p{n}", VECTORS[n], collection=name) for n in range(5)]
    again: Entries = [message("p0", VECTORS[7], collection=name), gone("p1", collection=name)]
    async with opened(tmp_path, PLAN) as catalogue:
        await catalogue.apply(feed_messages(came))
        after_ingest = changed(name)
        await catalogue.apply(feed_messages(again, start=6))
        await catalogue.apply(feed_messages(again, start=6))

    assert after_ingest == (5.0, 0.0)
    assert changed(name) == (6.0, 1.0)


async def test_a_restart_counts_nothing_again_and_begins_at_a_number(tmp_path: Path) -> None:
    name = "restarted"
    async with opened(tmp_path, PLAN) as catalogue:
        await catalogue.apply(feed_messages([message("p0", VECTORS[0], collection=name)]))
    before = changed(name)
    async with opened(tmp_path, PLAN):
        pass

    assert before == changed(name) == (1.0, 0.0)


def test_likeness_is_the_mean_cosine_between_the_first_five_two_by_two() -> None:
    edition, _ = build(VECTORS)
    found = retrieve(edition, request(VECTORS[0], limit=20), "public", STEM, BYTES)

    rows = VECTORS[[int(hit.id[1:]) for hit in found.reply.hits[:5]]]
    pairs = [float(rows[i] @ rows[j]) for i in range(5) for j in range(i)]
    assert found.top_cosine == pytest.approx(np.mean(pairs), abs=1e-3)


def test_copies_of_one_passage_are_alike_opposites_are_not_and_one_alone_says_nothing() -> None:
    def likeness(rows: list[int]) -> float | None:
        vectors = np.stack([VECTORS[0] if row >= 0 else -VECTORS[0] for row in rows])
        edition, _ = build(vectors)
        return retrieve(edition, request(VECTORS[0]), "public", STEM, BYTES).top_cosine

    assert likeness([1, 1, 1, 1, 1]) == pytest.approx(1.0, abs=1e-3)
    assert likeness([1, -1]) == 0.0
    assert likeness([1]) is None
