"""The machines of one simulated run, what happens to them, and until when it goes on.

After the last incident everything is repaired; then ramps must end and all processes obey the same.
"""

import asyncio
import contextvars
import random
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, cast

from benchmarks.fleetsim.bus import Noise, Server
from benchmarks.fleetsim.client import Connection
from benchmarks.fleetsim.clock import Clocks, Machine, VirtualLoop, on
from benchmarks.fleetsim.controller import Controller
from benchmarks.fleetsim.documents import ENDED, MAX_SKEW_S
from benchmarks.fleetsim.host import Disk, Host
from benchmarks.fleetsim.incidents import (
    CONTROLLERS,
    LAST_S,
    WORKERS,
    Incident,
    Plan,
    Trouble,
)
from benchmarks.fleetsim.oracle import Oracle
from benchmarks.fleetsim.ramp import BAD, BASE, GOOD, POLICY, release
from benchmarks.fleetsim.record import Record
from benchmarks.fleetsim.worker import Traffic, work
from trimtab.contracts.control import Phase
from trimtab.contracts.errors import BusUnavailable, NotReady, TrimtabError
from trimtab.contracts.orders import (
    Command,
    CreateReleaseCommand,
    KillCommand,
    Order,
    RestoreCommand,
)
from trimtab.control.execute import execute
from trimtab.control.store import ControlStore

_REPAIR_AT_S = LAST_S + 2.0
_LOOK_S = 0.5
_CONVERGE_WITHIN_S = 30.0
_RAMP_WITHIN_S = 120.0
_TRAFFIC = Traffic(per_second=40, bad={BASE: 0.02, GOOD: 0.02, BAD: 0.33})


@dataclass
class Fleet:
    """The machines of one run and what happens to them."""

    loop: VirtualLoop
    clocks: Clocks
    plan: Plan
    record: Record
    oracle: Oracle
    server: Server
    hosts: dict[str, Host] = field(default_factory=dict)
    over: bool = False
    """Nothing is begun any more."""
    _boots: int = 0
    _orders: int = 0
    _running: "set[asyncio.Task[None]]" = field(default_factory=set)

    def draw(self, what: str) -> random.Random:
        """Return a source of chance of its own, so that leaving one thing out changes no other."""
        return random.Random(f"{what}/{self.plan.seed}")

    def boot(self, name: str) -> None:
        """Start a machine's process unless it runs; its disk and its clocks are what they were."""
        known = self.hosts.get(name)
        if self.over or (known is not None and not known.machine.dead):
            return
        draw = self.draw(f"clocks/{name}")
        machine = Machine(name, draw.uniform(-MAX_SKEW_S, MAX_SKEW_S), draw.uniform(-5e-3, 5e-3))
        machine.failed, machine.booted_at = self.oracle.failed, self.loop.time()
        self._boots += 1
        self.hosts[name] = host = Host(
            machine,
            self.server,
            self.oracle,
            self.clocks,
            known.disk if known else Disk(),
            self.draw(f"components/{name}/{self._boots}"),
            on(machine),
        )
        process = (
            work(host, _TRAFFIC, self.draw(f"traffic/{name}/{self._boots}"))
            if name in WORKERS
            else Controller(host, release(BASE)).run()
        )
        machine.begin(self.loop, process, host.context)

    def _run(
        self, work: Coroutine[Any, Any, None], context: contextvars.Context | None = None
    ) -> None:
        task = self.loop.create_task(work, context=context)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def crash(self, name: str) -> None:
        """End a machine's process where it stands; nothing is tidied up."""
        machine = self.hosts[name].machine
        if machine.dead:
            return
        self.record.say(f"{name} crashes")
        machine.dead = True
        self.server.forget(machine)
        for task in list(machine.tasks):
            task.cancel()

    def happen(self, incident: Incident) -> None:
        """Let one incident begin."""
        self.server.faults[incident.trouble.value] += 1
        self.record.say(f"-- {incident}")
        until = self.loop.time() + incident.lasts_s
        match incident.trouble:
            case Trouble.ORDER if incident.command is not None:
                self._run(self.order(incident.command))
            case Trouble.WORKER_CRASH | Trouble.CONTROLLER_CRASH | Trouble.NO_CONTROLLER:
                for name in (incident.target,) if incident.target else CONTROLLERS:
                    self.crash(name)
                    self.loop.call_later(incident.lasts_s, self.boot, name)
            case Trouble.FREEZE:
                self.hosts[incident.target].machine.freeze(self.loop.time(), incident.lasts_s)
            case Trouble.FREEZE_WRITING:
                self.hosts[incident.target].machine.frozen_at_write_s = incident.lasts_s
            case _:
                self._bus_trouble(incident, until)

    def _bus_trouble(self, incident: Incident, until: float) -> None:
        server = self.server
        match incident.trouble:
            case Trouble.CUT:
                server.cut_until[incident.target] = until
            case Trouble.SERVER_AWAY:
                server.away_until = until
            case Trouble.JETSTREAM_AWAY:
                server.jetstream_away_until = until
            case _:
                much = incident.strength
                server.noise = Noise(0.5 * much, 0.5 * much, 0.5 * much, 4.0 * much)
                server.noise_until = max(server.noise_until, until)
                self.loop.call_later(incident.lasts_s, self._calm, server.noise)

    def _calm(self, noise: Noise) -> None:
        if self.server.noise is noise:
            self.server.noise = Noise()

    async def order(self, command: Command) -> None:
        """Ask as an operator does with ``--direct``; the same operation again when nobody answers."""
        machine = Machine("operator")
        self._orders += 1
        operation = f"operation-{self._orders}"
        if isinstance(command, KillCommand | RestoreCommand):
            self.oracle.documents.kills.orders[operation] = command
        asked = Order(operation=operation, command=command, actor="operator", reason="simulated")
        for _ in range(4):
            try:
                store = await ControlStore.open(cast("Any", Connection(self.server, machine)))
                outcome, _ = await execute(store, asked, now=self.clocks.time())
            except (BusUnavailable, NotReady):
                continue
            except TrimtabError as error:
                self.record.outcomes[f"orders refused: {type(error).__name__}"] += 1
                return
            self.record.outcomes[f"orders {outcome.status}"] += 1
            return
        self.record.outcomes["orders that nobody could take"] += 1

    def repair(self) -> None:
        """End everything that is wrong; what is frozen thaws in its own time."""
        self.record.say("-- everything is repaired")
        server, now = self.server, self.loop.time()
        server.noise = Noise()
        server.noise_until = server.away_until = server.jetstream_away_until = now
        server.cut_until.clear()
        for name in (*WORKERS, *CONTROLLERS):
            self.boot(name)

    def look(self) -> None:
        """Have the oracle look at every process that could answer a request now."""
        for host in self.hosts.values():
            machine, feed = host.machine, host.obeys
            if feed is None or machine.dead or machine.frozen_until > self.loop.time():
                continue
            host.context.run(self.oracle.looked, feed)
            self.oracle.heard(feed)

    def apart(self) -> str:
        """Return why the processes do not obey the same; empty when they do."""
        hashes: set[str] = set()
        for host in self.hosts.values():
            feed = host.obeys
            if feed is None or host.machine.frozen_until > self.loop.time():
                return f"{host.machine.name} does not run"
            in_force = host.context.run(getattr, feed, "hash")
            apart = self.oracle.apart(feed, in_force, hashes)
            if apart:
                return apart
        return "" if len(hashes) <= 1 else f"{len(hashes)} effective hashes"

    def ramping(self) -> bool:
        """Return whether a controller ramps a canary: nobody paused it or took it in hand."""
        state = self.oracle.documents.state
        canary = state.canary if state is not None and state.freeze is None else None
        by_policy = canary is not None and canary.policy == POLICY.name
        return canary is not None and by_policy and canary.phase not in {*ENDED, Phase.PAUSED}

    async def live(self) -> None:
        """Live through the plan, then until all ramps have ended and all obey the same."""
        for name in (*CONTROLLERS, *WORKERS):
            self.boot(name)
        for name in (GOOD, BAD):
            await asyncio.sleep(0.3)
            await self.order(CreateReleaseCommand(release=release(name)))
        for incident in self.plan.incidents:
            self.loop.call_at(incident.at, self.happen, incident)
        self.loop.call_at(_REPAIR_AT_S, self.repair)
        over = False
        while self.record.breach is None and not over:
            await asyncio.sleep(_LOOK_S)
            self.look()
            over = self.loop.time() > _REPAIR_AT_S + 1.0 and self._over()

    def _over(self) -> bool:
        now, state_at = self.loop.time(), self.oracle.documents.state_at
        if self.ramping():
            late = now > _REPAIR_AT_S + _RAMP_WITHIN_S
            self.record.hold("a ramp comes to an end", not late, lambda: "it goes on and on")
            return late
        apart = self.apart()
        if apart and now < max(_REPAIR_AT_S, state_at) + _CONVERGE_WITHIN_S:
            return False
        self.record.hold("all obey the same in the end", not apart, lambda: apart)
        return True
