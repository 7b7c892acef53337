"""The component: a plan under a checksum."""

import json
from pathlib import Path

import msgspec
import pytest

from services.retriever.plan import FILE, SHIPPED, load_plan
from tests.unit.retriever.corpora import PLAN
from tests.unit.retriever.stream import component
from trimtab.artifacts.manifest import ArtifactCorrupt, write_manifest
from trimtab.artifacts.shipped import shipped


def test_the_shipped_component_loads_and_its_manifest_fits() -> None:
    plan, manifest = load_plan(shipped(SHIPPED)("hybrid@1", Path("unused")))

    assert manifest.reference == "hybrid@1"
    assert (plan.dense.flat_below, plan.dense.nprobe) == (30_000, 8)
    assert (plan.index.kind, plan.index.hnsw.effort) == ("hnsw", 256)


def test_the_component_for_a_gpu_differs_in_its_index_alone() -> None:
    graph, _ = load_plan(SHIPPED / "hybrid@1")
    lists, manifest = load_plan(SHIPPED / "hybrid-ivf@1")

    assert manifest.reference == "hybrid-ivf@1"
    assert (lists.index.kind, lists.dense.flat_below, lists.dense.nprobe) == ("ivf", 10_000, 32)
    assert lists == msgspec.structs.replace(graph, index=lists.index, dense=lists.dense)


def test_a_plan_comes_back_as_it_was_written(tmp_path: Path) -> None:
    folder = component(tmp_path, PLAN)

    assert load_plan(folder / "hybrid@1")[0] == PLAN


def test_a_plan_from_before_there_were_kinds_means_lists(tmp_path: Path) -> None:
    folder = component(tmp_path, PLAN) / "hybrid@1"
    told = json.loads((folder / FILE).read_text())
    del told["index"]
    (folder / FILE).write_text(json.dumps(told))
    write_manifest(folder, name="hybrid", version="1", kind="retriever")

    assert load_plan(folder)[0] == PLAN
    assert PLAN.index.kind == "ivf"


@pytest.mark.parametrize("content", [b"{}", b"not json", b'{"unknown": 1}'])
def test_a_file_that_is_no_plan_is_refused(content: bytes, tmp_path: Path) -> None:
    folder = component(tmp_path, PLAN) / "hybrid@1"
    (folder / FILE).write_bytes(content)
    with pytest.raises(ArtifactCorrupt, match=r"sha256|bytes"):
        load_plan(folder)
    write_manifest(folder, name="hybrid", version="1", kind="retriever")

    with pytest.raises(ArtifactCorrupt, match="does not parse"):
        load_plan(folder)
