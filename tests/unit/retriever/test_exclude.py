"""Passages that a search leaves out: never in the result, never at the cost of its length."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.retriever.passages import visibility as visibility_module
from services.retriever.passages.store import Store
from services.retriever.passages.visibility import Visibility
from services.retriever.search import retrieve
from services.retriever.words.terms import english_stemmer
from tests.unit.retriever.corpora import (
    COMPONENT,
    NAMESPACE,
    build,
    clustered,
    passage,
    request,
    train,
    unit,
)

STEM = english_stemmer()
BYTES = 700_000


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 120),
    left_out=st.integers(0, 64),
    limit=st.integers(1, 60),
    with_ivf=st.booleans(),
    exact_below=st.sampled_from([0, 10_000]),
    words=st.sampled_from(["", "passage", "number7 number3"]),
)
def test_what_is_excluded_never_comes_out_and_the_rest_fills_the_pool(
    seed: int,
    count: int,
    left_out: int,
    limit: int,
    with_ivf: bool,
    exact_below: int,
    words: str,
) -> None:
    rng = np.random.default_rng(seed)
    vectors = clustered(rng, count, 5)
    query = unit(rng, 1)[0]
    nearest = np.argsort(-(vectors @ query))[:left_out]
    excluded = [f"p{slot}" for slot in nearest]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(visibility_module, "EXACT_BELOW", exact_below)
        edition, _ = build(vectors)
        if with_ivf:
            train(edition, nlist=max(1, count // 4))
        asked = msgspec.structs.replace(
            request(query, text=words, limit=limit, nprobe=1), exclude=excluded
        )
        found = retrieve(edition, asked, "public", STEM, BYTES).reply

    ids = [hit.id for hit in found.hits]
    assert not set(ids) & set(excluded)
    assert len(ids) == len(set(ids)) == min(limit, count - len(nearest))


def test_an_id_excludes_only_what_the_asking_tenant_may_see() -> None:
    vectors = clustered(np.random.default_rng(3), 4, 2)
    edition, _ = build(vectors, tenants=["acme", "globex", "public", "acme"])
    collection = edition.collection

    assert collection.slots_of(["p0", "p1", "p2", "nobody"], "acme").tolist() == [0, 2]
    assert collection.slots_of(["p0", "p1", "p2"], "globex").tolist() == [1, 2]


def test_the_store_finds_the_same_slots_by_its_index(tmp_path: Path) -> None:
    store = Store(tmp_path / "passages.db")
    rows = clustered(np.random.default_rng(4), 6, 2)
    docs = store.add_collection("docs", NAMESPACE, COMPONENT, rows.shape[1], 0)
    other = store.add_collection("other", NAMESPACE, COMPONENT, rows.shape[1], 0)
    owners = ["acme", "globex", "public", "acme", "public"]
    store.apply(
        [(docs, passage(i, rows[i], tenant=owner)) for i, owner in enumerate(owners)]
        + [(other, passage(0, rows[5], tenant="acme", sequence=9, collection="other"))],
        9,
    )

    found = store.slots_of(docs, ["p0", "p1", "p2", "p9"], ("acme", "public"))

    assert found.tolist() == [0, 2]
    assert store.slots_of(docs, ["p9"], ("acme",)).tolist() == []
    store.close()


def test_a_set_without_some_slots_holds_all_the_others() -> None:
    visibility = Visibility()
    visibility.put(np.arange(20, dtype=np.int64), ["public", "acme"] * 10)
    seen = visibility.of("public")

    less = seen.without(np.array([0, 2, 2, 3, 18, 400, -1], dtype=np.int64))

    assert less.slots().tolist() == [4, 6, 8, 10, 12, 14, 16]
    assert (less.count, less.everything) == (7, False)
    assert seen.count == 10
    assert seen.without(np.array([1], dtype=np.int64)) is seen
