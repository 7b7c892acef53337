"""IVF lists on a real GPU keep the rules of every kind of index, and answer as the CPU does."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.retriever.dense.gpu import NoDevice, device
from services.retriever.dense.index import Vectors
from services.retriever.dense.ivf import IvfLists
from services.retriever.dense.ondevice import OnDevice, ToDevice
from tests.unit.retriever import test_kinds as suite
from tests.unit.retriever.corpora import unit
from tests.unit.retriever.test_ondevice import RULES, lists_of, never

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def to_device() -> ToDevice:
    try:
        found = device("gpu")
    except NoDevice as missing:
        pytest.skip(str(missing))
    assert found is not None
    return found


def cloned(index: OnDevice) -> OnDevice:
    clone = index.clone()
    assert clone is not None
    index.adopt(clone)
    return index


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_it_keeps_the_rules_of_every_kind(
    rule: Callable[..., None],
    to_device: ToDevice,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    empty = suite.empty

    def filled(plan: Any, vectors: Vectors) -> Any:
        index = empty(plan, vectors)
        index.extend(vectors, np.arange(len(vectors), dtype=np.int64))
        return cloned(OnDevice(index, to_device, never)) if isinstance(index, IvfLists) else index

    monkeypatch.setattr(suite, "filled", filled)
    given_to: dict[str, object] = {"plan": suite.PLANS["ivf"], "tmp_path": tmp_path}
    wanted = inspect.signature(rule).parameters

    rule(**{name: value for name, value in given_to.items() if name in wanted})


@pytest.mark.parametrize("nprobe", [1, 8, 64])
def test_a_gpu_finds_what_the_cpu_finds_in_the_same_lists(to_device: ToDevice, nprobe: int) -> None:
    rng = np.random.default_rng(nprobe)
    vectors = unit(rng, 20_000, 64)
    lists = lists_of(vectors, 128)
    index, seen = cloned(OnDevice(lists, to_device, never)), suite.everything(20_000)

    shared = 0
    for query in unit(rng, 50, 64):
        on_gpu, on_cpu = (each.search(query, 10, seen, nprobe) for each in (index, lists))
        shared += len(set(on_gpu.slots.tolist()) & set(on_cpu.slots.tolist()))
        assert on_gpu.cosines == pytest.approx(on_cpu.cosines, abs=index.cosine_error)

    assert shared >= 0.99 * 500  # rounding may choose another of two equals
