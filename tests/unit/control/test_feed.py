"""A kill waits for nothing: not for a release that takes long to load, nor for one that cannot be had."""

import asyncio
from pathlib import Path

from tests.unit.control.documents import controls, kill, state
from trimtab.contracts.control import Kill, Switch
from trimtab.contracts.errors import NotReady
from trimtab.control.effective import Controls, effective
from trimtab.control.feed import ControlFeed
from trimtab.telemetry import logs

CLOSED = kill(Switch.PIPELINE, "closed")


class Loading:
    """A worker's preparation: held back, or failing, as a test says."""

    def __init__(self) -> None:
        self.begun, self.allowed = asyncio.Event(), asyncio.Event()
        self.fails = False

    async def __call__(self, controls: Controls) -> None:
        if controls.state.stable == "base":
            return
        self.begun.set()
        await self.allowed.wait()
        if self.fails:
            raise NotReady("the component of next")


def offered(stable: str, state_revision: int, *kills: Kill, lane_revision: int = 0) -> Controls:
    return controls(state(stable), *kills, revision=state_revision, lane_revision=lane_revision)


def feed(folder: Path, loading: Loading) -> ControlFeed:
    return ControlFeed("mapper", "m-0", logs.get("mapper", "m-0"), folder / "last", loading)


def is_open(steered: ControlFeed) -> bool:
    return effective(steered.required, now=0.0).open


async def test_a_kill_is_in_force_while_a_release_is_still_being_loaded(tmp_path: Path) -> None:
    loading = Loading()
    steered = feed(tmp_path, loading)
    await steered.apply(offered("base", 1))

    promoting = asyncio.create_task(steered.apply(offered("next", 2)))
    await loading.begun.wait()
    killing = asyncio.create_task(steered.apply(offered("next", 2, CLOSED, lane_revision=3)))
    while is_open(steered):
        await asyncio.sleep(0)
    meanwhile = (steered.required.state.stable, steered.revision)
    loading.allowed.set()
    await asyncio.gather(promoting, killing)

    assert meanwhile == ("base", 1)
    assert (steered.required.state.stable, steered.revision) == ("next", 3)
    assert not is_open(steered)


async def test_a_kill_is_in_force_although_the_state_before_it_was_refused(tmp_path: Path) -> None:
    loading = Loading()
    loading.fails = True
    loading.allowed.set()
    steered = feed(tmp_path, loading)
    await steered.apply(offered("base", 1))

    await steered.apply(offered("next", 2))
    await steered.apply(offered("next", 2, CLOSED, lane_revision=3))

    assert steered.required.state.stable == "base"
    assert not is_open(steered)
    assert steered.revision == 1, "it must not claim the revision that it refused"


async def test_a_refused_state_is_obeyed_once_it_can_be_prepared(tmp_path: Path) -> None:
    loading = Loading()
    loading.fails = True
    loading.allowed.set()
    steered = feed(tmp_path, loading)
    await steered.apply(offered("base", 1))
    await steered.apply(offered("next", 2))

    loading.fails = False
    await steered.apply(offered("next", 2))

    assert (steered.required.state.stable, steered.revision) == ("next", 2)


async def test_a_kill_taken_back_during_a_load_does_not_come_back_with_the_load(
    tmp_path: Path,
) -> None:
    loading = Loading()
    steered = feed(tmp_path, loading)
    await steered.apply(offered("base", 1, CLOSED, lane_revision=2))

    promoting = asyncio.create_task(steered.apply(offered("next", 3, CLOSED, lane_revision=2)))
    await loading.begun.wait()
    restoring = asyncio.create_task(steered.apply(offered("next", 3, lane_revision=4)))
    while not is_open(steered):
        await asyncio.sleep(0)
    loading.allowed.set()
    await asyncio.gather(promoting, restoring)

    assert is_open(steered)
    assert steered.revision == 4
