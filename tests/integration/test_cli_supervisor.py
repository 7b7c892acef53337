"""The supervisor with real processes: order, restarts, crash loops, and nobody outlives it."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from trimtab.bus.connection import connect
from trimtab.supervisor import nats_server
from trimtab.supervisor.events import AnyEvent, Exited, Ready, Starting, Stopped, Stopping
from trimtab.supervisor.home import Home
from trimtab.supervisor.ports import free_port
from trimtab.supervisor.probe import BusProbe
from trimtab.supervisor.process import ManagedProcess
from trimtab.supervisor.processid import ProcessId
from trimtab.supervisor.spec import ProcessSpec, Tier
from trimtab.supervisor.supervisor import StartFailed, Supervisor

pytestmark = pytest.mark.integration

WAITING = "import signal; print('here', flush=True); signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True)\nwhile True: signal.pause()"


def spec(
    name: str, code: str = WAITING, tier: Tier = "worker", grace_s: float = 10.0
) -> ProcessSpec:
    return ProcessSpec(name, tier, (sys.executable, "-c", code), grace_s=grace_s)


async def until(condition: Callable[[], object], timeout_s: float = 30.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def supervised(
    logs: Path, *specs: ProcessSpec
) -> AsyncIterator[tuple[Supervisor, list[AnyEvent]]]:
    events: list[AnyEvent] = []
    supervisor = Supervisor(specs, logs, events.append)
    try:
        yield supervisor, events
    finally:
        await supervisor.stop()


def said_here(process: ManagedProcess) -> bool:
    return process.log.exists() and "here" in process.log.read_text()


async def test_a_killed_process_is_started_again_and_output_goes_to_its_log(tmp_path: Path) -> None:
    async with supervised(tmp_path, spec("one")) as (supervisor, events):
        await supervisor.start("worker")
        [process] = supervisor.processes
        await until(lambda: said_here(process))
        first = process.identity
        assert first is not None

        os.kill(first.pid, signal.SIGKILL)
        await until(lambda: process.restarts == 1 and process.identity != first)
        assert process.identity is not None
        assert process.identity.alive()

    exits = [event for event in events if isinstance(event, Exited)]
    assert exits == [Exited(name="one", code=-signal.SIGKILL, restart_in_s=0.2)]
    assert not process.identity.alive()


async def test_tiers_stop_in_the_opposite_order_of_their_start(tmp_path: Path) -> None:
    tiers: list[tuple[str, Tier]] = [("bus", "bus"), ("worker", "worker"), ("edge", "edge")]
    specs = [spec(name, tier=tier) for name, tier in tiers]

    async with supervised(tmp_path, *specs) as (supervisor, events):
        for _, tier in tiers:
            await supervisor.start(tier)
        await until(lambda: all(said_here(process) for process in supervisor.processes))

    started = [event.name for event in events if isinstance(event, Starting)]
    order = [(type(e), e.name) for e in events if isinstance(e, Stopping | Stopped)]
    assert started == ["bus", "worker", "edge"]
    assert order == [
        (Stopping, "edge"), (Stopped, "edge"),
        (Stopping, "worker"), (Stopped, "worker"),
        (Stopping, "bus"), (Stopped, "bus"),
    ]  # fmt: skip
    assert not any(event.killed for event in events if isinstance(event, Stopped))


async def test_who_ignores_the_request_to_stop_is_killed_after_its_grace(tmp_path: Path) -> None:
    async with supervised(tmp_path, spec("deaf", STUBBORN, grace_s=0.2)) as (supervisor, events):
        await supervisor.start("worker")
        [process] = supervisor.processes
        await until(lambda: said_here(process))

    assert events[-1] == Stopped(name="deaf", killed=True)


async def test_a_process_that_never_becomes_ready_stops_the_start_with_its_last_words(
    tmp_path: Path,
) -> None:
    code = "import sys; print('no weights here'); sys.exit(3)"

    async def nobody() -> dict[str, str]:
        return {}

    async with supervised(tmp_path, spec("broken", code)) as (supervisor, _):
        await supervisor.start("worker")
        with pytest.raises(StartFailed) as failed:
            async with asyncio.timeout(30):
                await supervisor.wait_ready(["worker"], nobody, 0.0)

    assert "exit status 3" in failed.value.problem
    assert "no weights here" in failed.value.problem
    assert "broken.log" in failed.value.remedy


async def test_a_program_that_is_not_there_is_named_in_its_log(tmp_path: Path) -> None:
    missing = ProcessSpec("ghost", "worker", ("no-such-program-anywhere",))

    async with supervised(tmp_path, missing) as (supervisor, _):
        await supervisor.start("worker")
        [process] = supervisor.processes
        await until(lambda: process.crashes_before_ready)

    assert "cannot start no-such-program-anywhere" in process.tail()


async def test_readiness_is_what_the_probe_says_with_its_note(tmp_path: Path) -> None:
    rounds = iter([{}, {"a": ""}, {"a": "", "b": "rules only"}])

    async def probe() -> dict[str, str]:
        return next(rounds)

    async with supervised(tmp_path, spec("a"), spec("b")) as (supervisor, events):
        await supervisor.start("worker")
        assert supervisor.not_ready() == ["a", "b"]
        await supervisor.wait_ready(["worker"], probe, 0.0)
        assert supervisor.not_ready() == []

    ready = [(event.name, event.note) for event in events if isinstance(event, Ready)]
    assert ready == [("a", ""), ("b", "rules only")]


async def test_the_generated_server_is_ready_only_when_jetstream_answers_and_comes_back(
    tmp_path: Path,
) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    port = free_port()
    probe = BusProbe(f"nats://127.0.0.1:{port}")

    async with supervised(home.logs, nats_server.spec(home, port)) as (supervisor, _):
        await supervisor.start("bus")
        async with asyncio.timeout(30):
            await supervisor.wait_ready(["bus"], probe.bus, 0.0)
            client = await connect(f"nats://127.0.0.1:{port}", "test")
            js = client.jetstream()
            await js.add_stream(name="KEPT", subjects=["kept"])
            await js.publish("kept", b"x")
            [process] = supervisor.processes
            process.kill()
            await until(lambda: process.restarts == 1)
            await until(lambda: client.is_connected)
            assert (await js.stream_info("KEPT")).state.messages == 1
        assert await probe.samples() == []
        await probe.close()
        await client.close()


SUPERVISING = """
import asyncio, sys
from pathlib import Path
from trimtab.supervisor.spec import ProcessSpec
from trimtab.supervisor.supervisor import Supervisor

async def main():
    child = ProcessSpec("child", "worker", (sys.executable, "-c", "import signal; signal.pause()"))
    supervisor = Supervisor([child], Path(sys.argv[1]), lambda event: None)
    await supervisor.start("worker")
    print(supervisor.processes[0].identity.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
async def test_nobody_outlives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SUPERVISING, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    child = ProcessId.of(int(await parent.stdout.readline()))
    assert child is not None

    parent.kill()
    await parent.wait()

    await until(lambda: not child.alive())
