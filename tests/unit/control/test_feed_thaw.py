"""A worker that was frozen reads before it answers, over whichever connection lets it read first."""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

from trimtab.control.feed import ControlFeed
from trimtab.telemetry import logs

LONG_AGO_S = 60.0


@dataclass
class Reading(ControlFeed):
    """A feed whose readings end when the test says so."""

    readings: "list[asyncio.Future[None]]" = field(default_factory=list)

    async def refresh(self) -> bool:
        began_at = time.monotonic()
        reading: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.readings.append(reading)
        await reading
        self._pulse.have_read(began_at)
        return True

    def freeze(self) -> None:
        """Let its last tick lie as far back as that of a process that was stopped."""
        self._pulse.ticked_at = time.monotonic() - LONG_AGO_S


def feed(folder: Path) -> Reading:
    return Reading("encoder", "e-0", logs.get("encoder", "e-0"), folder / "last")


async def turns() -> None:
    """Let everything that is ready to run do so."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_request_after_a_thaw_waits_for_one_reading_not_for_the_one_that_hangs(
    tmp_path: Path,
) -> None:
    thawed = feed(tmp_path)
    thawed.freeze()

    request = asyncio.create_task(thawed.awake())
    await turns()
    waited = not request.done()
    reconnected = asyncio.create_task(thawed.refresh())
    await turns()
    hanging, good = thawed.readings
    good.set_result(None)
    await turns()
    answered, still_hanging = request.done(), not hanging.done()
    hanging.set_result(None)
    await asyncio.gather(request, reconnected)

    assert waited
    assert (answered, still_hanging) == (True, True)


async def test_a_reading_begun_before_the_freeze_is_not_enough(tmp_path: Path) -> None:
    thawed = feed(tmp_path)
    early = asyncio.create_task(thawed.refresh())
    await turns()
    thawed.freeze()

    request = asyncio.create_task(thawed.awake())
    await turns()
    thawed.readings[0].set_result(None)
    await turns()
    waits_on = not request.done()
    thawed.readings[1].set_result(None)
    await asyncio.gather(request, early)

    assert waits_on
