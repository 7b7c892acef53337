"""Tasks and connections end, whatever the NATS client does with a cancellation or a lost server."""

import asyncio

import pytest

from trimtab.bus.connection import connect
from trimtab.bus.ending import close, end
from trimtab.bus.local_server import LocalServer

pytestmark = pytest.mark.integration


async def test_a_loop_that_swallowed_its_first_cancellation_is_cancelled_again() -> None:
    swallowed = 0

    async def loop() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed == 2:
                    raise

    task = asyncio.create_task(loop())
    await asyncio.sleep(0)
    await end(task)

    assert task.cancelled()
    assert swallowed == 2


async def test_ending_takes_tasks_that_are_done_that_failed_and_that_never_were() -> None:
    async def fail() -> None:
        raise ValueError

    failed, finished = asyncio.create_task(fail()), asyncio.create_task(asyncio.sleep(0))
    await asyncio.wait({failed, finished})

    await end(None, failed, finished)

    assert finished.done()


async def test_a_loop_ends_although_a_reply_and_the_cancellation_meet() -> None:
    """Until CPython 3.12 ``asyncio.wait_for`` drops the cancellation here: the reply wins."""
    replies: list[asyncio.Future[None]] = []

    async def ask_forever() -> None:
        while True:
            replies.append(asyncio.get_running_loop().create_future())
            await asyncio.wait_for(replies[-1], 60)

    task = asyncio.create_task(ask_forever())
    while not replies:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    replies[0].set_result(None)
    async with asyncio.timeout(30):
        await end(task)

    assert task.done()


async def test_a_connection_whose_server_was_killed_closes(nats_server: LocalServer) -> None:
    connection = await connect(nats_server.url, "orphan")
    nats_server.kill()
    await connection.publish("x", b"buffered")
    async with asyncio.timeout(5):
        while not connection.is_reconnecting:
            await asyncio.sleep(0.01)

    async with asyncio.timeout(10):
        await close(connection)
        await close(connection)

    assert connection.is_closed
