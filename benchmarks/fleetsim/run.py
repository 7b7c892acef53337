"""One seed, start to end, and a failing one made short.

Incidents are left out of a failing run for as long as the same invariant breaks.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, replace

import trimtab.control.acknowledging
import trimtab.control.feed
import trimtab.control.heartbeats
import trimtab.control.lease
import trimtab.control.pulse
from benchmarks.fleetsim.bus import Server
from benchmarks.fleetsim.clock import VirtualLoop, clocks_of
from benchmarks.fleetsim.documents import Documents
from benchmarks.fleetsim.fleet import Fleet
from benchmarks.fleetsim.incidents import (
    Plan,
)
from benchmarks.fleetsim.oracle import Oracle
from benchmarks.fleetsim.ramp import BAD, POLICY
from benchmarks.fleetsim.record import Breach, Record
from services.controller import reconciler


@dataclass(frozen=True)
class Result:
    """What one run showed."""

    plan: Plan
    breach: Breach | None
    """The first invariant that did not hold; None: all did."""
    checks: Counter[str]
    """Checks made of each invariant."""
    faults: Counter[str]
    """What went wrong, by kind."""
    outcomes: Counter[str]
    """What became of rollouts and orders."""
    log: list[str]
    """What happened, in order."""


def simulate(what: Plan) -> Result:
    """Run a plan; the same plan gives the same result."""
    loop = VirtualLoop()
    control = trimtab.control
    ours = (control.acknowledging, control.feed, control.heartbeats, control.lease, control.pulse)
    with clocks_of(loop, *ours, reconciler) as clocks:
        record = Record(loop.time)
        documents = Documents(record, POLICY, BAD)
        server = Server(loop, random.Random(f"bus/{what.seed}"), documents.stored)
        oracle = Oracle(
            record, documents, server, dict([what.unloadable] if what.unloadable else [])
        )
        fleet = Fleet(loop, clocks, what, record, oracle, server)
        try:
            loop.run_until_complete(fleet.live())
        finally:
            _end(loop, fleet)
    return Result(what, record.breach, record.checks, server.faults, record.outcomes, record.log)


def _end(loop: VirtualLoop, fleet: Fleet) -> None:
    fleet.over = True
    for host in fleet.hosts.values():
        host.machine.dead = True
    while tasks := asyncio.all_tasks(loop):
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.wait(tasks))
    loop.close()


def shortest(failing: Result) -> Result:
    """Return a failing run with as few incidents as break the same invariant."""
    kept = failing
    shorter = True
    while shorter and kept.breach is not None:
        shorter = False
        for index in range(len(kept.plan.incidents)):
            incidents = kept.plan.incidents
            fewer = replace(kept.plan, incidents=incidents[:index] + incidents[index + 1 :])
            tried = simulate(fewer)
            if tried.breach is not None and tried.breach.invariant == kept.breach.invariant:
                kept, shorter = tried, True
                break
    return kept


def account(failing: Result) -> str:
    """Return a failing run for people: seed, invariant, incidents, and the last of its event log."""
    lines = [f"seed {failing.plan.seed}: {failing.breach}", "incidents:"]
    lines += [f"  {incident}" for incident in failing.plan.incidents]
    return "\n".join([*lines, "event log:", *(f"  {line}" for line in failing.log[-60:])])
