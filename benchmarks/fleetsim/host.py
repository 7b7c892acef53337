"""One simulated machine and the real feed on it: disk, components, connection, and who looks on."""

import asyncio
import contextlib
import contextvars
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from benchmarks.fleetsim.bus import Server
from benchmarks.fleetsim.client import Connection
from benchmarks.fleetsim.clock import Clocks, Machine
from benchmarks.fleetsim.oracle import LEASE_S, Oracle
from benchmarks.fleetsim.ramp import BASE, component
from trimtab.contracts.errors import ModelFailed, TrimtabError
from trimtab.control.applying import View
from trimtab.control.effective import Controls, needed, offered
from trimtab.control.feed import ControlFeed

SLOWEST_LOAD_S = 6.0
"""A component takes up to this long to load; most are much quicker."""


class Silence:
    """A logger that says nothing."""

    def warning(self, *_event: object, **_keys: object) -> None:
        """Drop it."""


@dataclass
class Disk:
    """The file that survives a crash; stands where a feed's ``cache`` stands."""

    data: bytes | None = None
    _partial: bytes | None = None

    @property
    def parent(self) -> "Disk":
        """There are no folders."""
        return self

    def mkdir(self, **_options: object) -> None:
        """There are no folders."""

    def with_suffix(self, _suffix: str) -> "Disk":
        """Return the file beside it: itself, for writing."""
        return self

    def write_bytes(self, data: bytes) -> None:
        """Write the file beside it."""
        self._partial = data

    def replace(self, _target: "Disk") -> None:
        """Put the file beside it in its place."""
        self.data = self._partial

    def read_bytes(self) -> bytes:
        """Return what is there."""
        if self.data is None:
            raise FileNotFoundError
        return self.data


class WatchedFeed(ControlFeed):
    """The real feed; whatever it puts in force is shown to the oracle at once."""

    machine: Machine
    oracle: Oracle

    def __setattr__(self, name: str, value: Any) -> None:
        before = self.__dict__.get("_view")
        super().__setattr__(name, value)
        if name == "_view" and before is not None:
            self.oracle.swapped(self, cast("View", before), cast("View", value))


@dataclass
class Host:
    """What every process has."""

    machine: Machine
    server: Server
    oracle: Oracle
    clocks: Clocks
    disk: Disk
    draw: random.Random
    context: contextvars.Context
    """Code that runs in it runs on the machine."""
    obeys: WatchedFeed | None = field(default=None)
    """Its process's feed, once there is one."""

    def feed(self, service: str) -> tuple[Connection, WatchedFeed]:
        """Return a connection and a feed on this machine, not started."""
        connection = Connection(self.server, self.machine)
        feed = WatchedFeed(
            service,
            self.machine.name,
            cast("Any", Silence()),
            cast("Path", self.disk),
            lease_s=LEASE_S,
        )
        feed.machine, feed.oracle = self.machine, self.oracle
        feed._pulse.ticked_at = self.clocks.monotonic()  # its default was bound to the real clock
        self.obeys = feed
        connection.arrived = lambda message: self.oracle.arrived(feed, message)
        self.oracle.joined(feed)
        return connection, feed

    def stock(self, feed: ControlFeed) -> None:
        """Have the feed load components before it obeys a state that needs them, as a worker does."""
        self.machine.stock = {component(BASE)}
        feed.prepare = self._prepare

    async def load(self, feed: ControlFeed) -> None:
        """Load what the state in force at the start needs; a worker that cannot says so and goes on."""
        if feed.current is not None:
            with contextlib.suppress(TrimtabError):
                await self._prepare(feed.current)

    async def _prepare(self, controls: Controls) -> None:
        if self.obeys is None or self.obeys.current is None:
            return  # the first state is obeyed before anything is loaded or served
        for name in needed(controls, "rerank"):
            await self._load(name)
        for name in offered(controls, "rerank"):
            with contextlib.suppress(TrimtabError):
                await self._load(name)

    async def _load(self, name: str) -> None:
        stock = self.machine.stock
        if stock is None or name in stock:
            return
        await asyncio.sleep(SLOWEST_LOAD_S * self.draw.random() ** 4)
        if self.oracle.unloadable.get(self.machine.name) == name:
            raise ModelFailed("the component is damaged")
        stock.add(name)
