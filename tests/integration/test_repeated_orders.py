"""An order that comes again, after a lost answer or as a copy beside itself, counts once and says so."""

import asyncio
import time

import pytest
from nats.aio.client import Client as NatsClient

from tests.unit.control.documents import release
from trimtab.contracts.control import Switch
from trimtab.contracts.errors import InvalidCommand, RevisionConflict
from trimtab.contracts.orders import (
    Command,
    CreateReleaseCommand,
    KillCommand,
    Order,
    Outcome,
    PromoteCommand,
    RestoreCommand,
    SetCommand,
    StartCanaryCommand,
)
from trimtab.control.execute import execute
from trimtab.control.store import ControlStore

pytestmark = pytest.mark.integration


RULES_ONLY = KillCommand(switch=Switch.MAPPER_MODE, value="rules_only", ttl_s=600.0)


def order(command: Command, operation: str, expect: int | None = None) -> Order:
    return Order(operation=operation, command=command, actor="test", expect_revision=expect)


@pytest.fixture
async def store(connection: NatsClient) -> ControlStore:
    opened = await ControlStore.open(connection, create=True)
    await opened.initialise(release("base"), "test")
    return opened


async def carried_out(store: ControlStore, asked: Order) -> Outcome:
    outcome, _ = await execute(store, asked, now=time.time())
    return outcome


@pytest.mark.parametrize(
    "command",
    [
        SetCommand(name="retriever.nprobe", value=4),
        KillCommand(switch=Switch.RERANKER, value="off"),
        RestoreCommand(switch=Switch.MAPPER_MODE),
    ],
    ids=["of the state", "of the kill lane", "that leave nothing to tell them apart"],
)
async def test_of_copies_sent_at_once_one_is_written_and_all_name_its_revision(
    store: ControlStore, command: Command
) -> None:
    await carried_out(store, order(RULES_ONLY, "before"))
    asked = order(command, "one-and-the-same")

    outcomes = await asyncio.gather(*(carried_out(store, asked) for _ in range(3)))

    assert sorted(outcome.changed for outcome in outcomes) == [False, False, True]
    assert len({outcome.revision for outcome in outcomes}) == 1


async def test_a_promotion_whose_answer_was_lost_can_be_asked_for_again(
    store: ControlStore,
) -> None:
    await carried_out(store, order(CreateReleaseCommand(release=release("next")), "create-next"))
    await carried_out(store, order(StartCanaryCommand(release="next"), "start-next"))
    first = await carried_out(store, order(PromoteCommand(), "promote-next"))

    again = await carried_out(store, order(PromoteCommand(), "promote-next"))

    assert (again.changed, again.revision) == (False, first.revision)
    with pytest.raises(InvalidCommand, match="no canary is running"):
        await carried_out(store, order(PromoteCommand(), "another-intent"))


async def test_a_repeated_order_does_not_trip_over_the_revision_that_it_made_itself(
    store: ControlStore,
) -> None:
    before = (await store.read()).revision
    command = SetCommand(name="retriever.nprobe", value=4)
    first = await carried_out(store, order(command, "expecting", before))

    again = await carried_out(store, order(command, "expecting", before))

    assert (again.changed, again.revision) == (False, first.revision)
    with pytest.raises(RevisionConflict):
        await carried_out(store, order(command, "another-intent", before))
