"""Ends what a supervisor left behind that was killed: named by its stale state file, proved by start time."""

import asyncio
import signal

from trimtab.supervisor.processid import ProcessId
from trimtab.supervisor.state import UpState

GRACE_S = 10.0
_POLL_S = 0.05


async def end(state: UpState, grace_s: float = GRACE_S) -> list[str]:
    """End every process of the state that still lives and return their names.

    On Linux the kernel has done so already; elsewhere a NATS server may have outlived its supervisor.
    """
    living = [p for p in reversed(state.processes) if p.process.alive()]
    for running in living:
        running.process.send(signal.SIGTERM)
    if not await gone([running.process for running in living], grace_s):
        for running in living:
            running.process.send(signal.SIGKILL)
        await gone([running.process for running in living], grace_s)
    return [running.name for running in living]


async def gone(processes: list[ProcessId], within_s: float) -> bool:
    """Wait until none of the processes lives; return whether that came true in time."""
    loop = asyncio.get_running_loop()
    until = loop.time() + within_s
    while any(process.alive() for process in processes):
        if loop.time() > until:
            return False
        await asyncio.sleep(_POLL_S)
    return True
