"""Promise: whenever the broker dies while a command is under way, the command is carried out exactly once.

Its operator repeats it as it is, until it is answered. Nobody restarts a process, and every refusal
meanwhile is a typed error.
"""

import asyncio
import time
from dataclasses import dataclass

import pytest

from tests.drills import record
from tests.drills.steering import insist, obeyed, order, stored
from tests.drills.streaming import Stream, streaming
from tests.fleet import Fleet
from trimtab.audit.chain import verify
from trimtab.audit.ledger import Ledger
from trimtab.client import Client
from trimtab.contracts.control import Switch
from trimtab.contracts.mapping import MappingMode
from trimtab.contracts.orders import Command, KillCommand, Outcome, RestoreCommand
from trimtab.contracts.pipeline import MapAnswer

pytestmark = pytest.mark.drill

TEXT = "how the user could hurt themselves tonight"
KILL = KillCommand(switch=Switch.MAPPER_MODE, value="rules_only")
RESTORE = RestoreCommand(switch=Switch.MAPPER_MODE)
HELD_S = 0.05
"""In the first round the controller is frozen until the broker is gone: the order surely lies with it."""
MOMENTS_S = (HELD_S, 0.0, 0.002, 0.006)
"""From sending an order to the broker's death: before it is read, while it is carried out, after."""
TYPED = frozenset({"ok", "deadline", "unavailable", "no_workers"})


@dataclass(frozen=True)
class Round:
    """One command that met a dying broker."""

    mode: MappingMode
    """Asked for."""
    outcome: Outcome
    tries: int
    """Sends until it was answered."""
    sent_at: float
    restarted_at: float
    obeyed_at: float
    operation: str


async def struck(fleet: Fleet, client: Client, command: Command, moment_s: float) -> Round:
    """Send a command, kill the broker meanwhile, start it again, and wait until everybody obeys."""
    asked, sent_at = order(command), time.time()
    [controller] = fleet.of("controller")
    if moment_s == HELD_S:
        controller.freeze()
    sending = asyncio.create_task(insist(client, asked))
    await asyncio.sleep(moment_s)
    fleet.server.kill()
    controller.thaw()
    fleet.server.start()
    restarted_at = time.time()
    outcome, tries = await sending
    await obeyed(client, outcome.revision, len(fleet.members), timeout_s=60)
    mode = MappingMode.RULES_ONLY if command is KILL else MappingMode.HYBRID
    return Round(mode, outcome, tries, sent_at, restarted_at, time.time(), asked.operation)


async def rounds(fleet: Fleet, client: Client, stream: Stream[MapAnswer]) -> list[Round]:
    """Strike at every moment, with a kill and its restore in turn; each ends with a good answer."""
    done = []
    for number, moment_s in enumerate(MOMENTS_S):
        done.append(await struck(fleet, client, RESTORE if number % 2 else KILL, moment_s))
        await stream.until(lambda answer: answer.answer.mode is done[-1].mode)
    return done


async def test_a_command_that_meets_a_dying_broker_is_carried_out_exactly_once(
    stocked_fleet: Fleet,
) -> None:
    fleet = stocked_fleet
    await fleet.start("controller", "encoder", "mapper", "gateway")
    before = {member.instance: member.pid for member in fleet.members}
    async with (
        Client.connect(fleet.url, name="drill") as client,
        Client.connect(fleet.url, name="load") as loading,
        streaming(lambda: loading.map(TEXT, timeout_s=1), 2) as stream,
    ):
        await stream.grown(10)
        first = (await stored(client)).revision
        done = await rounds(fleet, client, stream)
        last = await stored(client)
        ledger = await Ledger.open(client.connection, "drill")
        entries = [entry async for entry in ledger.entries()]

    recoveries = [
        record.recovery(
            r.restarted_at, r.obeyed_at, stream.verified(r.obeyed_at, lambda _answer: True)
        )
        for r in done
    ]
    record.write(
        "broker-restart",
        rto_s=[recovery["rto_s"] for recovery in recoveries],
        trigger_to_last_worker_s=[r["trigger_to_last_worker_s"] for r in recoveries],
        tries=[float(r.tries) for r in done],
        replies=len(stream.replies),
        refused_meanwhile=stream.lost,
    )
    # Every write takes the next revision: none was lost, none was made twice.
    assert [r.outcome.revision for r in done] == [first + n for n in range(1, len(done) + 1)]
    assert last.revision == done[-1].outcome.revision
    for r, following in zip(done, [*done[1:], None], strict=True):
        until = following.sent_at if following else float("inf")
        assert {a.answer.answer.mode for a in stream.after(r.obeyed_at, until)} <= {r.mode}
    assert {r.operation for r in done} <= {entry.operation for entry in entries}
    assert verify(entries, []) == []
    assert set(stream.tally.outcomes) <= TYPED
    assert {m.instance: m.pid for m in fleet.members if m.running} == before
