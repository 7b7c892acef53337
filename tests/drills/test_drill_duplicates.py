"""Promise: whatever the bus repeats or reorders, no worker goes back, none applies twice, and a kill stands.

Every hint and heartbeat ever sent comes again and again in random order, beside new commands that are
each sent three times at once.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg

from tests.drills import record
from tests.drills.steering import Acknowledgements, acknowledgements, of, order, stored
from tests.drills.streaming import streaming
from tests.fleet import Fleet
from trimtab.bus.connection import settle
from trimtab.bus.ending import end
from trimtab.client import Client
from trimtab.contracts import subjects
from trimtab.contracts.control import ApplyStatus, Switch
from trimtab.contracts.mapping import MappingMode
from trimtab.contracts.orders import Command, KillCommand, RestoreCommand, SetCommand

pytestmark = pytest.mark.drill

TEXT = "how the user could hurt themselves tonight"
KILL = KillCommand(switch=Switch.MAPPER_MODE, value="rules_only")
RESTORE = RestoreCommand(switch=Switch.MAPPER_MODE)
COMMANDS: tuple[Command, ...] = (
    SetCommand(name="mapper.confidence_threshold", value=0.5),
    KILL,
    SetCommand(name="mapper.confidence_threshold", value=0.7),
    RESTORE,
    SetCommand(name="mapper.confidence_threshold", value=None),
    KILL,
)
AT_ONCE = 3
SEED = 20
_BREATH_S = 0.002


class Echoes:
    """Everything that was said to the workers, said again at random."""

    def __init__(self, connection: NatsClient) -> None:
        self._connection = connection
        self._heard: list[tuple[str, bytes]] = []
        self._random = random.Random(SEED)
        self.sent = 0

    async def hear(self, message: Msg) -> None:
        """Remember what others said; our own echoes add nothing new."""
        said = (message.subject, message.data)
        if said not in self._heard:
            self._heard.append(said)

    async def run(self) -> None:
        """Say one thing after another again, old and new alike, until cancelled."""
        while True:
            if self._heard:
                subject, body = self._random.choice(self._heard)
                await self._connection.publish(subject, body)
                self.sent += 1
            await asyncio.sleep(_BREATH_S)


@asynccontextmanager
async def echoing(connection: NatsClient) -> AsyncIterator[Echoes]:
    """Repeat hints and heartbeats for the length of the block."""
    echoes = Echoes(connection)
    for subject in (subjects.HINT, subjects.HEARTBEAT):
        await connection.subscribe(subject, cb=echoes.hear)
    await settle(connection)
    task = asyncio.create_task(echoes.run())
    yield echoes
    await end(task)


def applied(heard: Acknowledgements, instance: str) -> list[int]:
    """Return the revisions that one worker said it applied, in the order of its words."""
    mine = [word for word in heard.words if word.instance == instance]
    return [word.revision for word in mine if word.status is ApplyStatus.APPLIED]


async def test_repeated_and_reordered_deliveries_change_nothing_and_each_order_counts_once(
    stocked_fleet: Fleet,
) -> None:
    fleet = stocked_fleet
    await fleet.start("controller", "encoder", "mapper", "mapper", "gateway")
    everybody = {member.instance for member in fleet.members}
    async with (
        Client.connect(fleet.url, name="drill") as client,
        Client.connect(fleet.url, name="load") as loading,
        Client.connect(fleet.url, name="echo") as echo,
        acknowledgements(client) as heard,
        echoing(echo.connection) as echoes,
        streaming(lambda: loading.map(TEXT, timeout_s=20), 2) as stream,
    ):
        first = (await stored(client)).revision
        answers, times = [], []
        for command in COMMANDS:
            asked, began_at = order(command), time.time()
            same = await asyncio.gather(
                *(client.order(asked, timeout_s=20) for _ in range(AT_ONCE))
            )
            answers.append(same)
            times.append(await heard.applied(same[0].revision, everybody) - began_at)
            await stream.grown(20)
        killed_at = time.time()
        await stream.grown(100)
        last = await stored(client)
        hashes = {sample.effective_hash for sample in await client.health()}
        mappers = {sample.instance for sample in await of(client, "mapper")}

    record.write(
        "duplicates",
        seed=SEED,
        echoes=echoes.sent,
        order_to_last_worker_s=[round(took, 3) for took in times],
        replies=len(stream.replies),
        lost=stream.lost,
    )
    revisions = [{outcome.revision for outcome in same} for same in answers]
    assert revisions == [{first + number} for number in range(1, len(COMMANDS) + 1)]
    assert [sum(outcome.changed for outcome in same) for same in answers] == [1] * len(COMMANDS)
    assert last.revision == first + len(COMMANDS)
    for instance in everybody:
        mine = applied(heard, instance)
        assert mine == sorted(set(mine)), f"{instance} went back, or applied twice"
    assert ApplyStatus.REJECTED not in {word.status for word in heard.words}
    assert len(hashes) == 1
    assert len(mappers) == 2
    killed = {reply.answer.answer.mode for reply in stream.after(killed_at)}
    assert killed == {MappingMode.RULES_ONLY}
    assert stream.lost == 0
