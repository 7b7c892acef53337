"""The newest explanations are read past those of a newer version, which are counted."""

from typing import cast

import msgspec
import nats.js.errors
import pytest
from nats.aio.client import Client as NatsClient
from nats.js.api import RawStreamMsg

from tests.contracts.examples import examples
from trimtab.bus.explanations import Explanations, Newest
from trimtab.cli.incident import snapshot
from trimtab.client import Client
from trimtab.contracts.explain import Explanation
from trimtab.contracts.message import encode

EXPLAINED = cast("Explanation", examples()["Explanation"])
NEWER = msgspec.msgpack.encode({**msgspec.to_builtins(EXPLAINED), "of_tomorrow": 1})


class Stream:
    """The places of a stream, from 1 on; None where one is empty."""

    def __init__(self, *places: bytes | None) -> None:
        self._places = places

    def jetstream(self, **_: float) -> "Stream":
        return self

    async def get_last_msg(self, _stream: str, _subject: str) -> RawStreamMsg:
        return await self.get_msg("", len(self._places))

    async def get_msg(self, _stream: str, sequence: int) -> RawStreamMsg:
        data = self._places[sequence - 1]
        if data is None:
            raise nats.js.errors.NotFoundError
        return RawStreamMsg(data=data, seq=sequence)


def connection(*places: bytes | None) -> NatsClient:
    return cast("NatsClient", Stream(*places))


@pytest.mark.parametrize("newest", [NEWER, b"\xc1"], ids=["another-field", "no-msgpack"])
async def test_what_this_version_cannot_read_hides_no_other_explanation(newest: bytes) -> None:
    places = (encode(EXPLAINED), None, NEWER, encode(EXPLAINED), newest)

    found = await Explanations(connection(*places)).newest(0.0, 10)

    assert found == Newest([EXPLAINED, EXPLAINED], unreadable=2)


async def test_an_incident_is_told_with_the_explanations_that_can_be_read() -> None:
    some = Client(connection(encode(EXPLAINED), NEWER))
    all_readable = Client(connection(encode(EXPLAINED)))

    answered, why = await snapshot.answers(some, 0.0)

    assert [each.request_id for each in answered] == [EXPLAINED.request_id]
    assert why == "kept explanations: 1 that this version cannot read are left out"
    assert (await snapshot.answers(all_readable, 0.0))[1] == ""
