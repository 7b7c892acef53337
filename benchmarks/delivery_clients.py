"""What a subscriber and an operator of each peer of ``delivery`` do, with the peer's own client.

It imports nothing of ours, so that it also runs in the environment of the peers' clients.
"""

import asyncio
import contextlib
import importlib
import random
from collections.abc import Awaitable, Callable
from typing import Any

NAME = "bench_delivery"
"""Channel, subject, bucket and key of every path."""

ACKNOWLEDGED = f"{NAME}.acknowledged"
"""Subject of the path whose subscribers answer."""

POLL_KEY = "polled"
"""Key of the path that polls."""

POLL_S = 15.0
"""What the clients of Unleash and others wait between two looks unless told otherwise."""

Heard = Callable[[bytes], None]
Write = Callable[[bytes], Awaitable[object]]


async def follow_core(address: str, heard: Heard, listening: Callable[[], None]) -> None:
    """Subscribe to a plain NATS subject."""
    import nats

    connection = await nats.connect(address)

    async def receive(message: Any) -> None:
        heard(message.data)

    await connection.subscribe(NAME, cb=receive)
    await connection.flush()
    listening()
    await asyncio.Event().wait()


async def follow_core_acknowledged(
    address: str, heard: Heard, listening: Callable[[], None]
) -> None:
    """Subscribe to a plain NATS subject and answer every message."""
    import nats

    connection = await nats.connect(address)

    async def receive(message: Any) -> None:
        heard(message.data)
        await connection.publish(message.reply, message.data[:8])

    await connection.subscribe(ACKNOWLEDGED, cb=receive)
    await connection.flush()
    listening()
    await asyncio.Event().wait()


async def follow_kv(address: str, heard: Heard, listening: Callable[[], None]) -> None:
    """Watch a key of a JetStream KV bucket as nats-py offers it."""
    import nats

    connection = await nats.connect(address)
    bucket = await connection.jetstream().key_value(NAME)
    watcher = await bucket.watch(NAME)
    listening()
    async for entry in watcher:
        if entry is not None and entry.value:
            heard(entry.value)


async def follow_poll(address: str, heard: Heard, listening: Callable[[], None]) -> None:
    """Get a key of the same bucket every 15 s, each subscriber at its own time."""
    import nats
    from nats.js.errors import KeyNotFoundError

    connection = await nats.connect(address)
    bucket = await connection.jetstream().key_value(NAME)
    seen: int | None = None
    listening()
    await asyncio.sleep(random.uniform(0, POLL_S))
    while True:
        with contextlib.suppress(KeyNotFoundError):
            entry = await bucket.get(POLL_KEY)
            if entry.value and entry.revision != seen:
                seen = entry.revision
                heard(entry.value)
        await asyncio.sleep(POLL_S)


async def follow_redis(address: str, heard: Heard, listening: Callable[[], None]) -> None:
    """Subscribe to a Redis channel."""
    subscription = _foreign("redis.asyncio").Redis.from_url(address).pubsub()
    await subscription.subscribe(NAME)
    async for message in subscription.listen():
        if message["type"] == "subscribe":
            listening()
        else:
            heard(message["data"])


async def follow_etcd(address: str, heard: Heard, listening: Callable[[], None]) -> None:
    """Watch a key of etcd over gRPC."""
    host, port = address.rsplit(":", 1)
    async with _foreign("aetcd").Client(host=host, port=int(port)) as client:
        watch = await client.watch(NAME.encode())
        listening()
        async for event in watch:
            heard(event.kv.value)


async def write_core(address: str, _count: int) -> Write:
    """Publish."""
    import nats

    connection = await nats.connect(address)

    async def write(body: bytes) -> None:
        await connection.publish(NAME, body)
        await connection.flush()

    return write


async def write_core_acknowledged(address: str, count: int) -> Write:
    """Publish and return once every subscriber has said that it has it."""
    import nats

    connection = await nats.connect(address)
    inbox, heard = connection.new_inbox(), asyncio.Semaphore(0)

    async def acknowledged(_message: Any) -> None:
        heard.release()

    await connection.subscribe(inbox, cb=acknowledged)

    async def write(body: bytes) -> None:
        await connection.publish(ACKNOWLEDGED, body, reply=inbox)
        for _ in range(count):
            await heard.acquire()

    return write


async def write_kv(address: str, _count: int) -> Write:
    """Put; returns once the server has stored it."""
    import nats

    connection = await nats.connect(address)
    bucket = await connection.jetstream().key_value(NAME)

    async def write(body: bytes) -> None:
        await bucket.put(NAME, body)

    return write


async def write_poll(address: str, _count: int) -> Write:
    """Put, at a time that has nothing to do with when anybody looks."""
    import nats

    connection = await nats.connect(address)
    bucket = await connection.jetstream().key_value(NAME)

    async def write(body: bytes) -> None:
        await bucket.put(POLL_KEY, body)

    return write


async def write_redis(address: str, _count: int) -> Write:
    """Publish."""
    client = _foreign("redis.asyncio").Redis.from_url(address)

    async def write(body: bytes) -> None:
        await client.publish(NAME, body)

    return write


async def write_etcd(address: str, _count: int) -> Write:
    """Put; returns once the server has stored it."""
    host, port = address.rsplit(":", 1)
    client = _foreign("aetcd").Client(host=host, port=int(port))
    await client.connect()

    async def write(body: bytes) -> None:
        await client.put(NAME.encode(), body)

    return write


def _foreign(module: str) -> Any:
    """Import a peer's client, which is only in the environment made for it and typed nowhere else."""
    return importlib.import_module(module)


PATHS = {
    "core": (follow_core, write_core),
    "core_acknowledged": (follow_core_acknowledged, write_core_acknowledged),
    "kv": (follow_kv, write_kv),
    "poll": (follow_poll, write_poll),
    "redis": (follow_redis, write_redis),
    "etcd": (follow_etcd, write_etcd),
}
"""What a subscriber does and what an operator does, by name."""
