"""What a retriever tells of its indexes: advice is about what serves, whatever else is kept for a rollback."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from services.retriever.dense.advice import Shape
from services.retriever.passages.follower import Follower
from tests.unit.control.documents import controls, release, state
from trimtab.control.effective import Controls
from trimtab.telemetry.metrics import REGISTRY

GROWN = Shape(passages=1200, indexed=1000)
COLLECTION = "told-of"


class Catalogue:
    """One collection, indexed by two components; both grew since they were trained."""

    def __init__(self) -> None:
        self.collections: dict[str, Any] = {}
        self.sequence = self.refused = 0
        self.stream = "the one"
        self.components = ["hybrid@1", "hybrid@2"]
        self.mirrors = SimpleNamespace(outages={})
        self.caretaker = SimpleNamespace(placing=SimpleNamespace(places={}, device=None))

    def editions(self, _component: str) -> dict[str, Any]:
        return {COLLECTION: SimpleNamespace(kind="ivf", nlist=8, shape=GROWN)}


class Feed:
    """A stream of which everything is known."""

    behind = 0

    async def stream(self) -> Any:
        return SimpleNamespace(identity="the one", last_sequence=0)

    async def batches(self, *_known: object) -> AsyncIterator[list[Any]]:
        yield []
        await asyncio.Event().wait()


def in_force(serving: str | None) -> Controls | None:
    """Return controls whose stable release names that component; None: nobody wrote any."""
    if serving is None:
        return None
    stable = msgspec.structs.replace(release("base"), retrieve=serving)
    return controls(msgspec.structs.replace(state("base"), releases={"base": stable}))


def worker(serving: str | None) -> Any:
    return SimpleNamespace(
        identity=SimpleNamespace(facts={}), controls=SimpleNamespace(current=in_force(serving))
    )


def follower(of: Any) -> Follower:
    return Follower(of, cast("Any", Feed()), cast("Any", Catalogue()))


def advised_by(of: Any) -> list[bool]:
    """Return of which components the worker's facts advise."""
    keys = (f"advice.{COLLECTION}", f"advice.{COLLECTION}.hybrid@2")
    return [bool(of.identity.facts[key]) for key in keys]


def shown() -> list[float | None]:
    """Return the gauge of each component."""
    return [
        REGISTRY.get_sample_value(
            "retriever_index_rebuild_advised", {"collection": COLLECTION, "component": component}
        )
        for component in ("hybrid@1", "hybrid@2")
    ]


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
    mine = worker(serving)
    follower(mine).tell()

    assert advised_by(mine) == advised
    assert shown() == [float(each) for each in advised]


async def test_the_advice_is_over_once_the_rebuilt_index_serves_although_nothing_is_ingested() -> (
    None
):
    mine = worker("hybrid@1")
    following = follower(mine)
    following.tell()
    before = advised_by(mine)
    await following.catch_up()
    mine.controls.current = in_force("hybrid@3")
    async with asyncio.timeout(60):
        while any(advised_by(mine)):
            await asyncio.sleep(0.02)
    await following.stop()

    assert before == [True, False]
    assert shown() == [0.0, 0.0]
