"""Explanations are kept without anybody waiting: what is too much is dropped, what fails is said once."""

import asyncio
from typing import cast

import msgspec
import pytest

from services.gateway.logbook import Logbook
from tests.contracts.examples import examples
from trimtab.bus.explanations import Explanations
from trimtab.contracts.errors import BusUnavailable
from trimtab.contracts.explain import Explanation
from trimtab.telemetry import logs
from trimtab.telemetry.metrics import REGISTRY

EXAMPLE = cast("Explanation", examples()["Explanation"])


class Stream:
    """A stream that takes explanations when it is told to, or refuses them."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.slow = asyncio.Event()
        self.slow.set()
        self.broken = False

    async def open(self) -> None:
        if self.broken:
            raise BusUnavailable("no stream; make one")

    async def store(self, explanation: Explanation) -> None:
        await self.slow.wait()
        if self.broken:
            raise BusUnavailable("no stream; make one")
        self.kept.append(explanation.request_id)


def logbook(stream: Stream, share: float = 1.0) -> Logbook:
    return Logbook(cast("Explanations", stream), share, logs.get("gateway", "g-0"))


def of(request_id: str) -> Explanation:
    return msgspec.structs.replace(EXAMPLE, request_id=request_id)


def counted(result: str) -> float:
    return REGISTRY.get_sample_value("gateway_explanations_total", {"result": result}) or 0.0


async def test_what_is_offered_is_written_in_its_order_before_the_end() -> None:
    stream = Stream()
    under_test = logbook(stream)
    await under_test.start()

    for number in range(5):
        under_test.offer(of(f"r{number}"))
    await under_test.stop()

    assert stream.kept == [f"r{number}" for number in range(5)]


async def test_an_offer_never_waits_and_above_the_bound_it_is_dropped_and_counted() -> None:
    stream = Stream()
    stream.slow.clear()
    under_test = logbook(stream)
    await under_test.start()
    before = counted("dropped")

    for number in range(300):
        under_test.offer(of(f"r{number}"))
    stream.slow.set()
    await under_test.stop()

    dropped = counted("dropped") - before
    assert dropped == 300 - 256
    assert len(stream.kept) == 256


async def test_what_was_asked_for_is_stored_when_the_call_returns() -> None:
    stream = Stream()
    under_test = logbook(stream)
    before = counted("stored")

    assert await under_test.store(of("r1"))

    assert stream.kept == ["r1"]
    assert counted("stored") == before + 1


async def test_a_stream_that_does_not_answer_holds_a_search_no_longer_than_its_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.gateway.logbook._STORE_S", 0.01)
    stream = Stream()
    stream.slow.clear()
    before = counted("failed")

    assert not await logbook(stream).store(of("r1"))

    assert counted("failed") == before + 1


async def test_a_stream_that_refuses_costs_explanations_and_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("INFO")
    stream = Stream()
    stream.broken = True
    under_test = logbook(stream)
    before = counted("failed")

    await under_test.start()
    asked = await under_test.store(of("r1"))
    for number in range(3):
        under_test.offer(of(f"r{number}"))
    await under_test.stop()

    assert (asked, stream.kept) == (False, [])
    assert counted("failed") - before == 4
    said = capsys.readouterr()
    assert (said.out + said.err).count("explanations_not_stored") == 1


async def test_a_share_of_nothing_samples_nothing() -> None:
    assert not any(logbook(Stream(), 0.0).samples(f"r{number}") for number in range(100))
    assert all(logbook(Stream(), 1.0).samples(f"r{number}") for number in range(100))
