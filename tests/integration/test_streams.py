"""Services that start together make the same streams at the same moment, and all of them begin."""

import asyncio

import pytest

from trimtab.bus import streams
from trimtab.bus.connection import connect
from trimtab.bus.ending import close
from trimtab.bus.local_server import LocalServer
from trimtab.contracts.subjects import DOCS_STREAM

pytestmark = pytest.mark.integration


async def test_a_stream_that_four_make_at_once_is_made_and_nobody_is_told_that_the_disk_is_too_small(
    nats_server: LocalServer,
) -> None:
    connections = [await connect(nats_server.url, f"maker-{n}") for n in range(4)]
    made = (streams.ensure(each.jetstream(), streams.docs_stream()) for each in connections)

    await asyncio.gather(*made)

    found = await connections[0].jetstream().stream_info(DOCS_STREAM)
    assert found.config.max_bytes == streams.docs_stream().max_bytes
    for each in connections:
        await close(each)
