"""Promise: the leading controller may die or freeze mid-rollout; another goes on from the stored state.

Each step is applied once, whoever leads. A leader that wakes up after it was replaced is fenced out: it
writes nothing, and nobody heeds it.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from tests.drills import record
from tests.drills.adapters import push, variant
from tests.drills.ramping import ended, moves, policies
from tests.drills.steering import canary, offer, release, steer, stored
from tests.drills.streaming import Stream, streaming
from tests.fleet import Fleet, Member
from trimtab.bus.connection import settle
from trimtab.client import Client
from trimtab.contracts import subjects
from trimtab.contracts.audit import AuditEntry
from trimtab.contracts.control import Canary, Heartbeat, Hint, Phase
from trimtab.contracts.message import decode
from trimtab.contracts.orders import RollBackCommand, StartCanaryCommand
from trimtab.contracts.pipeline import MapAnswer

pytestmark = pytest.mark.drill

TEXT = "how the user could hurt themselves tonight"
CALLERS = 6
WEIGHTS = (20, 50, 80)
POLICY = """\
name: quick
source: this drill
endpoint: pipeline_map
steps:
  - {weight: 20, hold: 1s, min_requests: 30}
  - {weight: 50, hold: 1s, min_requests: 30}
  - {weight: 80, hold: 1s, min_requests: 30}
max_hold: 10m
alpha: 0.01
guardrails:
  - {name: errors, endpoint: pipeline_map, event: error, severity: critical, max_rate: 0.2}
"""
"""Every step must be on the stored state, for the one who takes over knows nothing else."""


@dataclass
class Wire:
    """What controllers told the workers, in the order of its arrival."""

    hints: list[Hint] = field(default_factory=list)
    beats: list[Heartbeat] = field(default_factory=list)

    @property
    def steps(self) -> list[tuple[int, int, bool]]:
        """Step, weight and whether its clock had begun, each time that one of them was changed.

        A new leader signs the state as it finds it: that is no change.
        """
        ramps = [hint.state.canary for hint in self.hints]
        running = [ramp for ramp in ramps if ramp is not None and ramp.phase is Phase.RUNNING]
        changed = [ramp for ramp, _ in itertools.groupby(running)]
        return [(ramp.step, ramp.weight_bp, ramp.step_since > 0) for ramp in changed]

    async def leader(self, after_epoch: int = 0) -> Heartbeat:
        """Wait for a heartbeat of a newer lease than ``after_epoch``."""
        async with asyncio.timeout(60):
            while not (newer := [beat for beat in self.beats if beat.epoch > after_epoch]):
                await asyncio.sleep(0.02)
        return newer[-1]


@asynccontextmanager
async def listening(client: Client) -> AsyncIterator[Wire]:
    """Listen to hints and heartbeats for the length of the block."""
    wire = Wire()

    async def hinted(message: Msg) -> None:
        wire.hints.append(decode(Hint, message.data))

    async def beat(message: Msg) -> None:
        wire.beats.append(decode(Heartbeat, message.data))

    subscriptions = [
        await client.connection.subscribe(subjects.HINT, cb=hinted),
        await client.connection.subscribe(subjects.HEARTBEAT, cb=beat),
    ]
    await settle(client.connection)
    yield wire
    for subscription in subscriptions:
        await subscription.unsubscribe()


def spawn_controller(fleet: Fleet) -> None:
    """Start a controller that soon forgets who is gone: a step waits for silent workers until then."""
    fleet.spawn("controller", policies=policies(fleet, POLICY), forget_after_s="5")


@pytest.fixture(scope="module")
def two_controllers(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One small pipeline for both ways of losing the leader; each brings it to two controllers."""
    fleet = Fleet(tmp_path_factory.mktemp("two-controllers"))
    fleet.adopt(template)
    fleet.server.start()
    for service in ("encoder", "mapper", "gateway"):
        fleet.spawn(service)
    yield fleet
    fleet.close()


@dataclass(frozen=True)
class Handover:
    """One rollout whose leader was lost on its second step."""

    lost: Heartbeat
    """Of the leader that was lost."""
    found: Heartbeat
    """First of its successor."""
    lost_at: float
    found_at: float
    left_at: Canary
    """Rollout as it was stored when the leader was lost."""
    ended: Canary
    wire: Wire
    moves: list[AuditEntry]
    """Automatic moves of this rollout, by the audit."""
    stream: Stream[MapAnswer]


async def on_second_step(client: Client, wire: Wire) -> Canary:
    """Wait until the second step's clock runs: the leader has said all that it wrote so far."""
    async with asyncio.timeout(60):
        while (1, WEIGHTS[1] * 100, True) not in wire.steps:
            await asyncio.sleep(0.02)
    return await canary(client)


async def hand_over(
    fleet: Fleet,
    adapter: Path,
    lose: Callable[[Member], None],
    find_again: Callable[[Member], None],
) -> Handover:
    """Ramp an adapter, lose the leader on the second step, and let its successor finish."""
    while len(fleet.of("controller")) < 2:
        spawn_controller(fleet)
    await fleet.ready()
    name = adapter.name.partition("@")[0]
    async with (
        Client.connect(fleet.url, name="drill") as client,
        Client.connect(fleet.url, name="load") as loading,
        listening(client) as wire,
        streaming(lambda: loading.map(TEXT, timeout_s=20), CALLERS) as stream,
    ):
        lost = await wire.leader()
        [leader] = [m for m in fleet.of("controller") if m.instance == lost.instance]
        await push(client, adapter)
        await offer(client, release(name, map=adapter.name), adapter.name)
        # Forced: nothing retrieves or reranks in this drill, so those stages' interlocks would refuse.
        await steer(client, StartCanaryCommand(release=name, policy="quick"), force=True)
        left_at = await on_second_step(client, wire)
        lose(leader)
        lost_at = time.time()
        found = await wire.leader(lost.epoch)
        found_at = time.time()
        find_again(leader)
        finished = await ended(client)
        await stream.until(lambda answer: answer.release == name)
        audited = [m for m in await moves(client) if m.at >= stream.replies[0].asked_at]
        await heeded(client, wire, found.epoch)
        await steer(client, RollBackCommand(to="base"), force=True)
    return Handover(lost, found, lost_at, found_at, left_at, finished, wire, audited, stream)


async def heeded(client: Client, wire: Wire, epoch: int) -> None:
    """Wait until three more heartbeats came: time enough for a woken leader to speak, if it would."""
    seen = len(wire.beats)
    async with asyncio.timeout(60):
        while len(wire.beats) < seen + 3:
            await asyncio.sleep(0.05)
    assert (await stored(client)).state.epoch == epoch


def check(name: str, over: Handover) -> None:
    """Assert what must hold whichever way the leader was lost, and keep the record."""
    good_at = over.stream.verified(over.found_at, lambda _answer: True)
    record.write(
        name,
        lost_on_step=over.left_at.step + 1,
        **record.recovery(over.lost_at, over.found_at, good_at),
        epochs=[float(over.lost.epoch), float(over.found.epoch)],
        writes=len(over.wire.hints),
        replies=len(over.stream.replies),
        lost=over.stream.lost,
    )
    assert over.found.instance != over.lost.instance
    assert over.ended.phase is Phase.PROMOTED
    expected = [
        (step, weight * 100, begun)
        for step, weight in enumerate(WEIGHTS)
        for begun in (False, True)
    ]
    assert [s for s in over.wire.steps if s != (0, 0, False)] == expected, "a step twice, or none"
    passed = ["rollout:step_passed"] * (len(WEIGHTS) - 1)
    assert [m.action for m in over.moves] == [*passed, "rollout:last_step_passed"]
    assert {m.epoch for m in over.moves} == {over.lost.epoch, over.found.epoch}
    for epochs in (
        [m.epoch for m in over.moves],
        [h.state.epoch for h in over.wire.hints if h.state.epoch],
        [b.epoch for b in over.wire.beats],
    ):
        assert epochs == sorted(epochs), "a leader that was replaced still spoke"
    assert over.stream.lost == 0


async def test_another_controller_goes_on_when_the_leader_is_killed_mid_rollout(
    two_controllers: Fleet, tmp_path: Path
) -> None:
    adapter = variant(tmp_path, "killed@1", confidence=1.0)

    over = await hand_over(two_controllers, adapter, Member.kill, lambda _leader: None)

    check("leader-killed", over)


async def test_a_leader_that_was_frozen_mid_rollout_is_fenced_out_when_it_wakes(
    two_controllers: Fleet, tmp_path: Path
) -> None:
    adapter = variant(tmp_path, "frozen@1", confidence=1.0)

    over = await hand_over(two_controllers, adapter, Member.freeze, Member.thaw)

    check("leader-frozen", over)
    controllers = {member.instance for member in two_controllers.of("controller")}
    assert over.lost.instance in controllers, "it was not fenced out, it ended"
