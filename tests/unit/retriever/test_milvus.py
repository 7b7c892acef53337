"""What the vector database promises, on an embedded Milvus: whose passages come out, which stay, how exactly."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from services.retriever.vectordb.database import CollectionGone, Entry, Key, Question, VectorsAway
from tests.unit.retriever.corpora import clustered
from tests.unit.retriever.milvuslite import embedded
from trimtab.contracts.retrieve import EVERY_LIST, DenseOutage

if TYPE_CHECKING:
    from services.retriever.vectordb.milvus import Milvus

DIMENSION = 16
VECTORS = clustered(np.random.default_rng(5), 600, 12, DIMENSION)
AWKWARD = [
    'quote"s',
    "apostrophe's",
    "back\\slash",
    "sl/ash",
    "per%cent",
    "ünïcödé",
    "x] or true",
    " ",
]
PLACE = "trimtab_docs"


def entry(number: int, tenant: str = "public", sequence: int | None = None) -> Entry:
    at = number + 1 if sequence is None else sequence
    return Entry(Key(tenant, f"p{number}"), at, VECTORS[number])


def question(number: int, **changes: object) -> Question:
    given: dict[str, object] = {
        "vector": VECTORS[number],
        "limit": 10,
        "tenants": ["public"],
        "without": [],
        "nprobe": EVERY_LIST,
    }
    return Question(**{**given, **changes})  # type: ignore[arg-type]  # the fields' own types


@pytest.fixture(scope="module")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Milvus"]:
    with embedded(tmp_path_factory.mktemp("milvus")) as found:
        yield found


@pytest.fixture
def filled(milvus: "Milvus") -> "Milvus":
    """One collection of 600 passages: every third belongs to acme, the others to everybody."""
    milvus.drop(PLACE)
    assert milvus.prepare(PLACE, DIMENSION)
    milvus.put(PLACE, [entry(n, "acme" if n % 3 == 0 else "public") for n in range(600)])
    return milvus


def nearest(query: int, among: range | list[int], limit: int = 10) -> list[float]:
    cosines = VECTORS[list(among)] @ VECTORS[query]
    return np.sort(cosines)[::-1][:limit].tolist()  # type: ignore[no-any-return]  # numpy's


def test_every_list_gives_the_true_nearest(filled: "Milvus") -> None:
    for query in range(0, 600, 40):
        found = filled.search(PLACE, question(query, tenants=["acme", "public"]), 5.0)

        assert found.cosines.tolist() == pytest.approx(nearest(query, range(600)), abs=1e-5)
        assert found.keys[0].id == f"p{query}"


def test_no_passage_of_another_tenant_comes_out(filled: "Milvus") -> None:
    own = [n for n in range(600) if n % 3 == 0]

    for query in range(0, 600, 60):
        public = filled.search(PLACE, question(query, limit=50), 5.0)
        acme = filled.search(PLACE, question(query, limit=50, tenants=["acme"]), 5.0)

        assert {key.tenant for key in public.keys} == {"public"}
        assert {key.tenant for key in acme.keys} == {"acme"}
        assert acme.cosines.tolist() == pytest.approx(nearest(query, own, 50), abs=1e-5)


def test_a_tenant_without_passages_finds_none(filled: "Milvus") -> None:
    assert filled.search(PLACE, question(0, tenants=["nobody"]), 5.0).keys == []


def test_what_is_excluded_does_not_come_out_and_costs_no_place(filled: "Milvus") -> None:
    best = filled.search(PLACE, question(7, tenants=["acme", "public"]), 5.0)

    rest = filled.search(PLACE, question(7, tenants=["acme", "public"], without=best.keys[:3]), 5.0)

    assert rest.keys[:7] == best.keys[3:]
    assert len(rest.keys) == 10


def test_a_passage_put_again_is_replaced_and_not_doubled(filled: "Milvus") -> None:
    again = Entry(Key("public", "p1"), 900, VECTORS[2])

    filled.put(PLACE, [again])
    filled.put(PLACE, [again])

    assert filled.count(PLACE) == 600
    found = filled.search(PLACE, question(2, limit=600), 5.0)
    at = dict(zip([key.id for key in found.keys], found.cosines.tolist(), strict=True))
    assert at["p1"] == pytest.approx(1.0, abs=1e-5)
    assert filled.sequences(PLACE, [again.key, Key("public", "p2")]) == {
        again.key: 900,
        Key("public", "p2"): 3,
    }


def test_a_removed_passage_is_never_found_again_and_removing_it_twice_is_nothing(
    filled: "Milvus",
) -> None:
    gone = [Key("public", "p1"), Key("public", "never there")]

    filled.remove(PLACE, gone)
    filled.remove(PLACE, gone)

    found = filled.search(PLACE, question(1, limit=600), 5.0)
    assert "p1" not in {key.id for key in found.keys}
    assert filled.count(PLACE) == 599
    assert filled.sequences(PLACE, gone) == {}


@pytest.mark.parametrize("strange", AWKWARD)
def test_no_name_of_a_tenant_or_passage_can_change_what_is_asked(
    filled: "Milvus", strange: str
) -> None:
    own = Entry(Key(strange, strange), 700, VECTORS[0])
    filled.put(PLACE, [own])

    found = filled.search(PLACE, question(0, tenants=[strange]), 5.0)
    assert found.keys == [own.key]
    assert filled.sequences(PLACE, [own.key]) == {own.key: 700}
    assert filled.search(PLACE, question(0, tenants=[strange], without=[own.key]), 5.0).keys == []
    filled.remove(PLACE, [own.key])
    assert filled.search(PLACE, question(0, tenants=[strange]), 5.0).keys == []
    assert filled.count(PLACE) == 600


def test_what_was_written_is_there_after_the_connection_was_closed(filled: "Milvus") -> None:
    filled.close()

    assert not filled.prepare(PLACE, DIMENSION)
    assert filled.search(PLACE, question(4), 5.0).keys[0] == Key("public", "p4")


def test_a_collection_whose_maker_ended_before_its_indexes_gets_them(filled: "Milvus") -> None:
    client = filled._connected()
    filled.drop(PLACE)
    filled._make(client, PLACE, DIMENSION)
    assert client.list_indexes(PLACE) == []

    assert not filled.prepare(PLACE, DIMENSION)

    assert sorted(client.list_indexes(PLACE)) == ["tenant", "vector"]
    filled.put(PLACE, [entry(4)])
    assert filled.search(PLACE, question(4), 5.0).keys == [Key("public", "p4")]


def test_another_dimension_is_refused_with_what_to_do(filled: "Milvus") -> None:
    with pytest.raises(VectorsAway, match=r"dimension 16, expected 32; drop it") as refused:
        filled.prepare(PLACE, 32)
    assert refused.value.cause is DenseOutage.REFUSED


def test_a_collection_that_is_gone_is_told_from_a_server_that_is(filled: "Milvus") -> None:
    filled.drop(PLACE)
    filled.drop(PLACE)

    with pytest.raises(CollectionGone):
        filled.search(PLACE, question(0), 5.0)
    with pytest.raises(CollectionGone):
        filled.put(PLACE, [entry(0)])


@pytest.mark.parametrize("index", ["flat", "ivf_flat", "ivf_sq8", "hnsw"])
def test_every_index_finds_nearly_all_and_more_with_more_effort(index: str, tmp_path: Path) -> None:
    with embedded(tmp_path, index=index, nlist=32) as milvus:  # type: ignore[arg-type]  # one of them
        milvus.prepare(PLACE, DIMENSION)
        milvus.put(PLACE, [entry(n) for n in range(600)])

        def recall(nprobe: int) -> float:
            found = 0
            for query in range(0, 600, 30):
                asked = question(query, nprobe=nprobe)
                keys = milvus.search(PLACE, asked, 5.0).keys
                true = np.argsort(-(VECTORS @ VECTORS[query]))[:10]
                found += len({key.id for key in keys} & {f"p{n}" for n in true})
            return found / 200

        least, most = recall(1), recall(32)
        assert least <= most
        exact = index in ("flat", "ivf_flat")
        assert most >= (1.0 if exact else 0.95)
        if not exact:
            with pytest.raises(VectorsAway, match="ivf_flat"):
                milvus.search(PLACE, question(0), 5.0)


def test_nobody_listening_is_told_and_without_the_token() -> None:
    pytest.importorskip("pymilvus", reason="pip install 'trimtab[retriever-milvus]'")
    from services.retriever.vectordb.milvus import Milvus, MilvusOptions

    with socket.socket() as taken:  # bound and not listening: nobody answers, nobody else comes
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        milvus = Milvus(MilvusOptions(f"http://127.0.0.1:{port}", token="root:secret"))

        with pytest.raises(VectorsAway) as away:
            milvus.search(PLACE, question(0), 0.5)

    assert away.value.cause in (DenseOutage.UNAVAILABLE, DenseOutage.DEADLINE)
    assert "secret" not in str(away.value)
    milvus.close()
