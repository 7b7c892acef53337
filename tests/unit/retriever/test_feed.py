"""One pull from the stream, on scripted messages of a server."""

import json
from typing import Any, cast

import nats.errors
import pytest
from nats.aio.msg import Msg

from services.retriever.passages.feed import BATCH, FeedMessage, _Pull


def passage(sequence: int, number: int, behind: int) -> Msg:
    """A message as JetStream delivers it: number ``number`` of its consumer."""
    reply = f"$JS.ACK.TRIMTAB_DOCS.c.1.{sequence}.{number}.1700000000000000000.{behind}"
    return Msg(cast("Any", None), subject="trimtab.doc.docs.k", reply=reply, data=b"body")


def status(code: str) -> Msg:
    return Msg(cast("Any", None), subject="inbox", data=b"", headers={"Status": code})


class Inbox:
    """Hands out what was scripted, then nothing more."""

    subject = "_INBOX.x"

    def __init__(self, *messages: Msg) -> None:
        self._messages = list(messages)

    async def next_msg(self, timeout: float) -> Msg:  # noqa: ASYNC109 - the client's own signature
        if not self._messages:
            raise nats.errors.TimeoutError
        return self._messages.pop(0)


class Connection:
    """Remembers what was asked of the server."""

    def __init__(self) -> None:
        self.asked: list[dict[str, int]] = []

    async def publish(self, subject: str, body: bytes, reply: str) -> None:
        assert (subject, reply) == ("next", "_INBOX.x")
        self.asked.append(json.loads(body))


async def batches(*messages: Msg) -> tuple[list[list[int]], Connection]:
    """Return the sequences of each batch until the pull gives up, and what was asked."""
    connection = Connection()
    pull = _Pull(cast("Any", connection), cast("Any", Inbox(*messages)), "next")
    found = [[each.sequence for each in batch] async for batch in pull.batches()]
    return found, connection


async def test_a_batch_ends_when_nothing_is_behind_it() -> None:
    found, connection = await batches(
        passage(11, 1, 2), passage(15, 2, 1), passage(16, 3, 0), passage(17, 4, 0)
    )

    assert found == [[11, 15, 16], [17]]
    assert [request["batch"] for request in connection.asked] == [BATCH]


async def test_a_batch_holds_no_more_than_its_limit_and_the_next_is_asked_for() -> None:
    many = [passage(number, number, 1000) for number in range(1, BATCH + 3)]

    found, connection = await batches(*many)

    assert [len(batch) for batch in found] == [BATCH, 2]
    assert len(connection.asked) == 2


async def test_what_came_in_time_is_a_batch_although_more_is_behind() -> None:
    found, _ = await batches(passage(1, 1, 5), passage(2, 2, 4))

    assert found == [[1, 2]]


async def test_a_gap_ends_the_pull_after_what_came_before_it() -> None:
    found, _ = await batches(passage(1, 1, 3), passage(3, 3, 1), passage(4, 4, 0))

    assert found == [[1]]


@pytest.mark.parametrize("code", ["409", "503", "400"])
async def test_a_consumer_that_is_gone_ends_the_pull(code: str) -> None:
    found, _ = await batches(passage(1, 1, 3), status(code), passage(2, 2, 0))

    assert found == [[1]]


async def test_heartbeats_are_no_messages_and_a_request_that_is_over_is_repeated() -> None:
    found, connection = await batches(
        status("100"), status("408"), status("100"), status("404"), passage(1, 1, 0)
    )

    assert found == [[1]]
    assert len(connection.asked) == 3


async def test_silence_ends_the_pull() -> None:
    found, connection = await batches()

    assert found == []
    assert connection.asked[0]["idle_heartbeat"] < connection.asked[0]["expires"] / 2


async def test_a_message_keeps_its_body() -> None:
    pull = _Pull(cast("Any", Connection()), cast("Any", Inbox(passage(7, 1, 0))), "next")

    batch = await anext(pull.batches())

    assert batch == [FeedMessage(7, b"body")]
