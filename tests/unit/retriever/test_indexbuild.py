"""Building an index outside the workers: what is measured, written, taken over, and loaded by a worker again."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from services.retriever.build_index import parser, planned
from services.retriever.component import Component, load_component
from services.retriever.dense.index import Uncodable
from services.retriever.dense.indexbuild import Built, Order, Unbuildable, build
from services.retriever.dense.trained import INDEXES
from services.retriever.plan import IndexPlan, Plan, PqPlan
from tests.unit.retriever.corpora import DIMENSION, NAMESPACE, PLAN, clustered
from tests.unit.retriever.stream import component
from trimtab.artifacts.manifest import ArtifactCorrupt, write_manifest
from trimtab.evaluation.truth import read_truth
from trimtab.evaluation.vectorbundle import BundleCard, HeldOut, VectorBundle

RNG = np.random.default_rng(0)
ALL = clustered(RNG, 1060, 30)
PASSAGES, QUERIES = ALL[:1000], ALL[1000:]
IVF = msgspec.structs.replace(
    PLAN, dense=msgspec.structs.replace(PLAN.dense, nprobe=30), index=IndexPlan(restarts=2)
)


def bundle(collection: str = "docs", **changes: Any) -> VectorBundle:
    nearest = (QUERIES @ PASSAGES.T).argmax(axis=1)
    given = {
        "card": BundleCard(
            collection=collection, index=f"{collection}@1000", namespace=NAMESPACE, encoder="e@1"
        ),
        "ids": [f"p{number}" if number % 10 else "" for number in range(1000)],
        "vectors": PASSAGES,
        "queries": [
            HeldOut(id=f"q{number}", relevant=[f"p{best}"]) for number, best in enumerate(nearest)
        ],
        "query_vectors": QUERIES,
    }
    return VectorBundle(**{**given, **changes})


def made(
    into: Path,
    plan: Plan = IVF,
    given: VectorBundle | None = None,
    base: Path | None = None,
    **order: Any,
) -> Built:
    if base is None:
        base = component(into.parent / f"base-of-{into.name}", PLAN) / "hybrid@1"
    asked = Order(**{"reference": "hybrid@2", "plan": plan, **order})
    return build(given or bundle(), load_component(base), base, asked, into, _silent)


def _silent(what: str, done: int, of: int) -> None:
    assert 0 <= done <= of
    assert what


def loaded(folder: Path) -> Component:
    return load_component(folder)


def test_the_component_brings_an_empty_trained_index_that_a_worker_can_load(tmp_path: Path) -> None:
    found = made(tmp_path / "hybrid@2")

    component = loaded(tmp_path / "hybrid@2")
    trained = component.trained["docs"]
    assert component.manifest.reference == "hybrid@2"
    assert component.plan == IVF
    assert trained.fits(NAMESPACE, DIMENSION)
    assert not trained.fits(NAMESPACE, DIMENSION + 1)
    assert (trained.record.nlist, trained.record.passages) == (32, 1000)
    assert found.lengths == sorted(found.lengths, reverse=True)
    assert sum(found.lengths) == 1000
    assert found.shape.imbalance == trained.record.imbalance > 1.0
    assert component.manifest.metadata["overlap"] == trained.record.overlap


def test_it_is_measured_on_queries_that_are_no_passages(tmp_path: Path) -> None:
    with_members = np.concatenate([QUERIES, PASSAGES[:5]])
    queries = [HeldOut(id=str(number)) for number in range(len(with_members))]

    found = made(tmp_path / "a", given=bundle(queries=queries, query_vectors=with_members)).measured
    few = msgspec.structs.replace(IVF, dense=msgspec.structs.replace(IVF.dense, nprobe=1))
    poor = made(tmp_path / "b", few).measured

    assert found.members == 5
    assert found.overlap is not None
    assert poor.overlap is not None
    assert found.overlap.queries == 60
    assert poor.overlap.mean < found.overlap.mean > 0.99
    assert (found.losses, found.judged) == ({}, 0)
    assert poor.judged == sum(int(each.relevant[0][1:]) % 10 > 0 for each in bundle().queries)
    assert poor.losses["R@1"] >= 0.0


def test_golden_answers_are_the_exact_ones_by_id_and_leave_out_what_the_reader_may_not_see(
    tmp_path: Path,
) -> None:
    made(tmp_path / "hybrid@2")

    answers = read_truth(tmp_path / "hybrid@2" / "truth" / "docs.jsonl")

    assert [answer.id for answer in answers] == [f"q{number}" for number in range(60)]
    for number, answer in enumerate(answers):
        slots = [int(name[1:]) for name in answer.ids]
        assert all(slot % 10 for slot in slots)
        assert answer.cosines == pytest.approx(PASSAGES[slots] @ QUERIES[number], abs=1e-5)
        assert len(answer.vector) == DIMENSION


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_lists(tmp_path: Path) -> None:
    one, two = made(tmp_path / "a" / "hybrid@2"), made(tmp_path / "b" / "hybrid@2")
    plenty = clustered(np.random.default_rng(3), 6000, 50)
    large = bundle(
        vectors=plenty, ids=[f"p{n}" for n in range(6000)], queries=[], query_vectors=plenty[:0]
    )
    first = made(tmp_path / "c", given=large, nlist=8, seed=1)
    other = made(tmp_path / "d", given=large, nlist=8, seed=2)

    assert one.manifest.files == two.manifest.files
    assert first.lengths != other.lengths
    assert first.measured.overlap is None
    assert first.record.truth == ""


def test_the_base_keeps_other_collections_of_the_same_kind_and_all_its_other_files(
    tmp_path: Path,
) -> None:
    made(tmp_path / "one", given=bundle("first"))
    (tmp_path / "one" / "words.bin").write_bytes(b"something of another half")
    write_manifest(tmp_path / "one", name="hybrid", version="2", kind="retriever")

    second = made(tmp_path / "two", given=bundle("second"), base=tmp_path / "one")
    again = made(tmp_path / "three", given=bundle("first"), base=tmp_path / "two", nlist=9)
    graph = msgspec.structs.replace(IVF, index=IndexPlan(kind="hnsw"))
    other = made(tmp_path / "four", graph, bundle("third"), base=tmp_path / "two")

    assert second.dropped == again.dropped == []
    assert set(loaded(tmp_path / "two").trained) == {"first", "second"}
    assert loaded(tmp_path / "three").trained["first"].record.nlist == 9
    assert (tmp_path / "four" / "words.bin").read_bytes() == b"something of another half"
    assert other.dropped == ["first", "second"]
    assert set(loaded(tmp_path / "four").trained) == {"third"}
    assert not (tmp_path / "four" / "trained" / "first.faiss").exists()
    assert not (tmp_path / "four" / "truth" / "first.jsonl").exists()


@pytest.mark.parametrize("kind", ["ivf_pq", "hnsw"])
def test_every_kind_is_built_and_finds_nearly_all(kind: Any, tmp_path: Path) -> None:
    plan = msgspec.structs.replace(IVF, index=IndexPlan(kind=kind, pq=PqPlan(parts=8, bits=6)))

    found = made(tmp_path / "hybrid@2", plan)

    assert found.measured.overlap is not None
    assert found.measured.overlap.mean > 0.9
    assert loaded(tmp_path / "hybrid@2").trained["docs"].record.kind == kind


def test_what_was_refused_leaves_no_folder_in_the_way_of_the_next_try(tmp_path: Path) -> None:
    into, base = tmp_path / "hybrid@2", component(tmp_path / "base", PLAN) / "hybrid@1"
    with pytest.raises(Unbuildable, match="fewer than 5000 lists"):
        made(into, base=base, nlist=5000)

    assert not into.exists()
    assert made(into, base=base, nlist=30).record.nlist == 30


def test_a_kind_that_runs_no_k_means_says_so(tmp_path: Path) -> None:
    graph = msgspec.structs.replace(PLAN, index=IndexPlan(kind="hnsw", restarts=3))

    assert made(tmp_path / "hybrid@2", graph).record.restarts == 0


def test_an_option_of_another_kind_than_the_components_is_refused() -> None:
    graph = msgspec.structs.replace(PLAN, index=IndexPlan(kind="hnsw"))
    words = ["--bundle", "b", "--base", "b", "--out", "o", "--name", "hybrid@2", "--nlist", "4"]

    with pytest.raises(Unbuildable, match="--nlist is not for hnsw"):
        planned(graph, parser().parse_args(words))
    assert planned(graph, parser().parse_args([*words, "--kind", "ivf"])).index.kind == "ivf"


def test_what_cannot_be_built_says_why(tmp_path: Path) -> None:
    flat = msgspec.structs.replace(IVF, index=IndexPlan(kind="flat"))
    odd = msgspec.structs.replace(IVF, index=IndexPlan(kind="ivf_pq", pq=PqPlan(parts=5)))
    cases: list[tuple[type[Exception], str, dict[str, Any]]] = [
        (Unbuildable, "nothing to build", {"plan": flat}),
        (Uncodable, "5 equal parts", {"plan": odd}),
        (Unbuildable, "fewer than 2000 lists", {"nlist": 2000}),
        (Unbuildable, "holds no passages", {"given": bundle(vectors=PASSAGES[:0], ids=[])}),
        (Unbuildable, "1000 of 1000 vectors", {"given": bundle(vectors=2 * PASSAGES)}),
    ]

    for number, (error, problem, given) in enumerate(cases):
        with pytest.raises(error, match=problem):
            made(tmp_path / str(number), **given)


@pytest.mark.parametrize("wrong", ["flipped", "another-kind", "not-json", "unlisted", "no-index"])
def test_a_component_whose_indexes_do_not_fit_is_refused(wrong: str, tmp_path: Path) -> None:
    folder = tmp_path / "hybrid@2"
    made(folder)
    file, records = folder / "trained" / "docs.faiss", folder / INDEXES
    known = json.loads(records.read_text())
    if wrong == "flipped":
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    if wrong == "another-kind":
        records.write_text(json.dumps([{**known[0], "kind": "hnsw"}]))
    if wrong == "not-json":
        records.write_text("[{}]")
    if wrong == "unlisted":
        records.write_text(json.dumps([{**known[0], "file": "trained/other.faiss"}]))
    if wrong == "no-index":
        file.write_bytes(b"no index at all" * 20)
    if wrong != "flipped":
        write_manifest(folder, name="hybrid", version="2", kind="retriever")

    with pytest.raises(ArtifactCorrupt):
        load_component(folder)
