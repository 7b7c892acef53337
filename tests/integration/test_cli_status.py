"""`trimtab status --watch` in a terminal: the ramp of a real controller, drawn again at every look."""

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.fleet import Fleet

pytestmark = pytest.mark.integration

_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_WORDS = [Path(sys.executable).with_name("trimtab").as_posix()]


@dataclass
class Screen:
    """What a command wrote into its terminal so far."""

    process: asyncio.subprocess.Process
    reader: int
    text: str = field(default="")

    async def shows(self, *words: str) -> str:
        """Read until every word was drawn; return all that was drawn since the last call."""
        drawn = ""
        async with asyncio.timeout(60):
            while not all(word in drawn for word in words):
                part = await asyncio.to_thread(os.read, self.reader, 65_536)
                self.text += part.decode(errors="replace")
                drawn = _CODES.sub("", self.text)
        self.text = ""
        return drawn


@asynccontextmanager
async def terminal(fleet: Fleet, *words: str) -> AsyncIterator[Screen]:
    """Run ``trimtab`` in a terminal of 200 columns until the block ends."""
    reader, writer = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *_WORDS,
        *words,
        "--nats",
        fleet.url,
        stdin=writer,
        stdout=writer,
        stderr=writer,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "200", "LINES": "80"},
    )
    os.close(writer)
    try:
        yield Screen(process, reader)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        os.close(reader)


def steer(fleet: Fleet, *words: str) -> None:
    subprocess.run(
        [*_WORDS, *words, "--nats", fleet.url, "--json"],
        check=True,
        capture_output=True,
        env={**os.environ, "TRIMTAB_HOME": str(fleet.home)},
    )


async def test_a_watch_follows_a_ramp_by_hand_and_ends_well_on_ctrl_c(fleet: Fleet) -> None:
    await fleet.start("controller")
    await asyncio.to_thread(steer, fleet, "release", "create", "next", "--rerank", "none")

    async with terminal(fleet, "status", "--watch", "--interval", "0.2") as screen:
        first = await screen.shows("base  stable  100 %", "controller-1", "converged")
        start = ("canary", "start", "next", "--weight", "5", "--force", "--reason", "a drill")
        await asyncio.to_thread(steer, fleet, *start)
        ramped = await screen.shows("base  stable  95 %", "next  canary  5 %", "because a drill")
        await asyncio.to_thread(steer, fleet, "canary", "abort", "--reason", "enough")
        await screen.shows("last ramp: next", "aborted", "because enough")
        screen.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(60):
            code = await screen.process.wait()

    assert "canary" not in first
    assert "weight set by hand" in ramped
    assert code == 0


async def test_a_watch_outlives_its_controller_and_says_that_its_picture_is_old(
    fleet: Fleet,
) -> None:
    await fleet.start("controller")

    async with terminal(fleet, "status", "--watch", "--interval", "0.2") as screen:
        await screen.shows("base  stable  100 %")
        fleet.of("controller")[0].kill()
        await screen.shows("old picture: no worker serves")
        fleet.spawn("controller")
        await fleet.ready()
        drawn = await screen.shows("controller-2")

    assert "base  stable" in drawn


async def test_a_watch_for_scripts_prints_one_object_a_line(fleet: Fleet) -> None:
    await fleet.start("controller")
    watching = await asyncio.create_subprocess_exec(
        *_WORDS,
        *("status", "--watch", "--json", "--interval", "0.2", "--nats", fleet.url),
        stdout=subprocess.PIPE,
    )
    assert watching.stdout is not None
    async with asyncio.timeout(60):
        looks = [json.loads(await watching.stdout.readline()) for _ in range(2)]
    watching.send_signal(signal.SIGINT)
    await watching.wait()

    assert looks[0]["at"] < looks[1]["at"]
    assert [release["role"] for release in looks[1]["releases"]] == ["stable"]
    assert looks[1]["workers"][0]["obedience"] == "converged"
