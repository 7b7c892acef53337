"""What a retriever tells of its indexes: advice is about what serves, whatever else is kept for a rollback."""

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from services.retriever.dense.advice import Shape
from services.retriever.passages.follower import Follower
from tests.unit.control.documents import controls, release, state
from trimtab.telemetry.metrics import REGISTRY

GROWN = Shape(passages=1200, indexed=1000)
COLLECTION = "told-of"


class Catalogue:
    """One collection, indexed by two components; both grew since they were trained."""

    def __init__(self) -> None:
        self.collections: dict[str, Any] = {}
        self.sequence = self.refused = 0
        self.components = ["hybrid@1", "hybrid@2"]
        self.mirrors = SimpleNamespace(outages={})
        self.caretaker = SimpleNamespace(placing=SimpleNamespace(places={}, device=None))

    def editions(self, _component: str) -> dict[str, Any]:
        return {COLLECTION: SimpleNamespace(kind="ivf", nlist=8, shape=GROWN)}


def told(serving: str | None) -> tuple[list[bool], list[float | None]]:
    """Return what is said of both components while one of them serves: facts and gauge."""
    current = None
    if serving is not None:
        stable = msgspec.structs.replace(release("base"), retrieve=serving)
        current = controls(msgspec.structs.replace(state("base"), releases={"base": stable}))
    facts: dict[str, float | int | str] = {}
    worker = SimpleNamespace(
        identity=SimpleNamespace(facts=facts), controls=SimpleNamespace(current=current)
    )
    catalogue = Catalogue()
    Follower(cast("Any", worker), cast("Any", None), cast("Any", catalogue)).tell()
    keys = (f"advice.{COLLECTION}", f"advice.{COLLECTION}.hybrid@2")
    gauges = [
        REGISTRY.get_sample_value(
            "retriever_index_rebuild_advised", {"collection": COLLECTION, "component": component}
        )
        for component in catalogue.components
    ]
    return [bool(facts[key]) for key in keys], gauges


@pytest.mark.parametrize(
    ("serving", "advised"),
    [
        pytest.param("hybrid@1", [True, False], id="the-one-of-the-settings-serves"),
        pytest.param("hybrid@2", [False, True], id="a-rebuilt-one-serves"),
        pytest.param("hybrid@3", [False, False], id="neither-serves"),
        pytest.param(None, [True, True], id="nobody-wrote-a-state-yet"),
    ],
)
def test_only_what_serves_is_advised_about(serving: str | None, advised: list[bool]) -> None:
    facts, gauges = told(serving)

    assert facts == advised
    assert gauges == [float(each) for each in advised]
