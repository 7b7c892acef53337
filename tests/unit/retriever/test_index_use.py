"""Who asks is told how the index was searched: its kind, the lists visited, and when the answer is exact."""

import msgspec
import numpy as np
import pytest

from services.retriever.dense.index import Vectors
from services.retriever.edition import Edition
from services.retriever.retrieved import Retrieved
from services.retriever.search import retrieve
from services.retriever.words.terms import english_stemmer
from tests.unit.retriever.corpora import build, clustered, request, train
from trimtab.contracts.retrieve import EVERY_LIST, IndexUse, RetrieveRequest

STEM = english_stemmer()
COUNT = 2_000
LISTS = 40


@pytest.fixture(scope="module")
def edition() -> Edition:
    vectors = clustered(np.random.default_rng(1), COUNT, 30)
    # acme sees every passage, so that no filter is needed; the public ones are few enough to look at each.
    tenants = ["public" if number % 50 else "acme" for number in range(COUNT)]
    made, _ = build(vectors, tenants=tenants)
    train(made, LISTS)
    return made


def ask(edition: Edition, asked: RetrieveRequest, tenant: str = "public") -> Retrieved:
    asked = msgspec.structs.replace(asked, explain=True)
    return retrieve(edition, asked, tenant, STEM, 700_000)


def query(number: int = 5) -> Vectors:
    vector: Vectors = clustered(np.random.default_rng(number), 1, 1)[0]
    return vector


def use(found: Retrieved) -> IndexUse:
    told = found.answer().search
    assert told is not None
    return told


def test_flat_compares_everything_and_has_no_lists() -> None:
    flat, _ = build(clustered(np.random.default_rng(2), 50, 5))

    told = use(ask(flat, request(query())))

    assert (told.kind, told.lists, told.visited, told.exact) == ("flat", 0, 0, True)


def test_the_lists_of_the_request_are_visited(edition: Edition) -> None:
    told = use(ask(edition, request(query(), nprobe=7), tenant="acme"))

    assert (told.kind, told.lists, told.nprobe, told.visited) == ("ivf", LISTS, 7, 7)
    assert not told.exact


def test_a_request_that_names_none_gets_the_components_lists(edition: Edition) -> None:
    told = use(ask(edition, request(query()), tenant="acme"))

    assert told.nprobe == told.visited == edition.plan.dense.nprobe


def test_more_lists_are_told_where_those_asked_for_held_too_little(edition: Edition) -> None:
    told = use(ask(edition, request(query(), nprobe=1, limit=200), tenant="acme"))

    assert told.nprobe == 1
    assert 1 < told.visited <= LISTS


def test_few_visible_passages_are_compared_each(edition: Edition) -> None:
    told = use(ask(edition, request(query(), nprobe=3)))  # the public ones, below the bound

    assert (told.kind, told.exact, told.visited) == ("ivf", True, 0)


def test_every_list_is_the_truth(edition: Edition) -> None:
    told = use(ask(edition, request(query(), nprobe=EVERY_LIST), tenant="acme"))

    assert told.exact


def test_the_times_are_those_of_the_parts(edition: Edition) -> None:
    found = ask(edition, request(query()))

    told = use(found)

    assert set(told.took_ms) == {"dense", "lexical", "passages", "signals"}
    assert told.took_ms == {
        part: pytest.approx(took_s * 1000, abs=1e-3) for part, took_s in found.took_s.items()
    }


def test_nobody_who_does_not_ask_is_told(edition: Edition) -> None:
    found = retrieve(edition, request(query()), "public", STEM, 700_000)

    assert found.answer() is found.reply
    assert found.reply.search is None
