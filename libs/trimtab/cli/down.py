"""`trimtab down`: stop what `trimtab up` started, in-flight work first."""

import asyncio
import signal
import time

from trimtab.cli import options
from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import Failure, guarded
from trimtab.cli.output import print_json, stderr, stdout
from trimtab.supervisor import leftovers, state
from trimtab.supervisor.home import Home
from trimtab.supervisor.state import UpState

GRACE_S = 120.0
"""Longer than the three tiers' graces together; then the supervisor is killed, and all below with it."""


@guarded
def down(as_json: options.Json = False) -> None:
    """Stop the deployment of this home: the gateway first, then the workers, NATS last."""
    home = Home.find()
    found = state.read(home.state)
    if found is None or not _anybody(found):
        _report(as_json, stopped=False, text=f"nothing runs in {home.root}")
        return
    began = time.monotonic()
    stderr().print("stopping: requests in flight are finished first")
    in_order = asyncio.run(_stop(found))
    home.state.unlink(missing_ok=True)
    if not in_order:
        raise Failure(
            f"the supervisor did not stop within {GRACE_S:.0f} s and was killed",
            f"the logs in {home.logs} say what it waited for",
            ExitCode.FAILED,
        )
    took_s = time.monotonic() - began
    _report(
        as_json, stopped=True, text=f"stopped {len(found.processes)} processes in {took_s:.1f} s"
    )


def _anybody(found: UpState) -> bool:
    return found.supervisor.alive() or any(p.process.alive() for p in found.processes)


async def _stop(found: UpState) -> bool:
    """Return whether the supervisor stopped by itself; whatever is left is ended."""
    found.supervisor.send(signal.SIGTERM)
    in_order = await leftovers.gone([found.supervisor], GRACE_S)
    if not in_order:
        found.supervisor.send(signal.SIGKILL)
    await leftovers.end(found)
    return in_order


def _report(as_json: bool, *, stopped: bool, text: str) -> None:
    if as_json:
        print_json({"stopped": stopped})
    else:
        stdout().print(text, markup=False, soft_wrap=True)
