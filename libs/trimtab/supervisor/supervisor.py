"""Runs a whole deployment: tier by tier up, in the opposite order down, crashed processes again."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trimtab.supervisor.events import Ready, Sink
from trimtab.supervisor.process import ManagedProcess
from trimtab.supervisor.spec import TIERS, ProcessSpec, Tier

MAX_CRASHES = 3
"""A process that ended this often before it was ready even once will not become ready."""

POLL_S = 0.1

Probe = Callable[[], Awaitable[dict[str, str]]]
"""Returns the ready processes: name -> note, which says why one is only degraded."""


class StartFailed(Exception):
    """The deployment cannot start; says what is wrong and what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.problem, self.remedy = problem, remedy


@dataclass
class Supervisor:
    """The processes of one deployment."""

    specs: Sequence[ProcessSpec]
    """What runs."""
    logs: Path
    """Folder of the logs."""
    emit: Sink
    """Told of everything."""
    processes: list[ManagedProcess] = field(init=False)

    def __post_init__(self) -> None:
        self.processes = [ManagedProcess(spec, self.logs, self.emit) for spec in self.specs]

    async def start(self, tier: Tier) -> None:
        """Start the processes of one tier.

        Raises:
            StartFailed: a program is not there or may not be executed.
        """
        for process in self._of(tier):
            try:
                await process.start()
            except OSError as error:
                raise StartFailed(
                    f"{process.spec.name} cannot be started: {error.strerror}",
                    "run `trimtab doctor`",
                ) from error

    async def wait_ready(self, tiers: Sequence[Tier], probe: Probe, started_at: float) -> None:
        """Wait until the probe has named every process of the tiers; set no deadline of its own.

        Raises:
            StartFailed: one of them crashed too often before it was ready.
        """
        waiting = [process for tier in tiers for process in self._of(tier)]
        loop = asyncio.get_running_loop()
        while not all(process.ready for process in waiting):
            _give_up_on_crash_loops(self.processes)
            for name, note in (await probe()).items():
                for process in waiting:
                    if process.spec.name == name and not process.ready:
                        process.ready = True
                        took = loop.time() - started_at
                        self.emit(Ready(name=name, after_s=took, note=note))
            await asyncio.sleep(POLL_S)

    def not_ready(self) -> list[str]:
        """Return the names of started processes that are not ready."""
        return [p.spec.name for p in self.processes if p.identity is not None and not p.ready]

    async def stop(self) -> None:
        """Stop everything, the edge first and the bus last; each tier at once."""
        for tier in reversed(TIERS):
            await asyncio.gather(*(process.stop() for process in self._of(tier)))

    def kill(self) -> None:
        """Kill everything now, whatever it is doing."""
        for process in self.processes:
            process.kill()

    def _of(self, tier: Tier) -> list[ManagedProcess]:
        return [process for process in self.processes if process.spec.tier == tier]


def _give_up_on_crash_loops(processes: list[ManagedProcess]) -> None:
    for process in processes:
        if process.crashes_before_ready >= MAX_CRASHES and not process.ready:
            raise StartFailed(
                f"{process.spec.name} ended {process.crashes_before_ready} times before it was ready "
                f"(last exit status {process.last_exit})\n{process.tail()}",
                f"its whole log is {process.log}; `trimtab doctor` checks the machine",
            )
