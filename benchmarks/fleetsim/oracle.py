"""What must be true of every process at every moment, checked from outside.

The oracle sees what a process puts in force as it does so, and keeps its own book of what was stored,
what was killed and when heartbeats reached each machine.
"""

import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from benchmarks.fleetsim.bus import Message, Server
from benchmarks.fleetsim.clock import EPOCH, Machine
from benchmarks.fleetsim.documents import Documents
from benchmarks.fleetsim.killbook import is_over
from benchmarks.fleetsim.record import Record
from trimtab.contracts import subjects
from trimtab.contracts.control import Heartbeat, Kill, Switch
from trimtab.contracts.mapping import MappingMode
from trimtab.contracts.message import decode
from trimtab.control.applying import View
from trimtab.control.assignment import BUCKETS, role_of
from trimtab.control.effective import Controls, effective, needed, routing

LEASE_S = 8.0
"""Lease of the simulated canaries: shorter than in earnest, so that a run need not last a minute."""

HEALS_WITHIN_S = 8.0
"""A process that nothing disturbs knows a kill by then: one re-read, and what it waited for before."""

_SLACK_S = 1.0


class Watched(Protocol):
    """A feed, as far as it is looked at."""

    machine: Machine

    @property
    def current(self) -> Controls | None:
        """What is in force."""

    @property
    def leased(self) -> bool:
        """Whether a canary may get requests."""


@dataclass
class Oracle:
    """Watches one simulation."""

    record: Record
    documents: Documents
    server: Server
    unloadable: dict[str, str] = field(default_factory=dict)
    """Machine -> component that cannot be loaded on it."""
    _beat_at: dict[int, float] = field(default_factory=dict)
    _epochs: dict[int, int] = field(default_factory=dict)
    _feeds: list[Watched] = field(default_factory=list)
    """All there ever were, so that none has another's identity."""

    def joined(self, feed: Watched) -> None:
        """Take note of a new process."""
        self._feeds.append(feed)
        self._beat_at[id(feed)] = float("-inf")
        self._epochs[id(feed)] = 0

    def arrived(self, feed: Watched, message: Message) -> None:
        """Take note of a heartbeat at the moment in which it reaches a machine."""
        if message.subject != subjects.HEARTBEAT:
            return
        beat = decode(Heartbeat, message.data)
        if beat.epoch >= self._epochs[id(feed)]:
            self._epochs[id(feed)] = beat.epoch
            self._beat_at[id(feed)] = self.record.now()

    def failed(self, machine: Machine, error: BaseException) -> None:
        """Take note of a task that ended by an error."""
        self.record.hold(
            "a process goes on", machine.dead, lambda: f"{machine.name}: {error!r} ended a task"
        )

    def swapped(self, feed: Watched, before: View, after: View) -> None:
        """Check what a process puts in force, at the moment in which it does."""
        name, old, new = feed.machine.name, before.controls, after.controls
        self.record.hold(
            "no lower epoch",
            after.epoch >= before.epoch,
            lambda: f"{name} forgot epoch {before.epoch} for {after.epoch}",
        )
        if new is None or new is old:
            return
        self.record.say(f"{name} obeys state {new.state_revision}, lane {new.lane_revision}")
        self.record.hold(
            "no lower revision",
            old is None
            or (
                new.state_revision >= old.state_revision and new.lane_revision >= old.lane_revision
            ),
            lambda: f"{name} went from {_revisions(old)} to {_revisions(new)}",
        )
        self._stored(name, new)
        fresh = old is None or new.state_revision > old.state_revision
        self.record.hold(
            "a fenced write is refused",
            old is None or not fresh or not 0 < new.state.epoch < before.epoch,
            lambda: f"{name} took epoch {new.state.epoch} after hearing of {before.epoch}",
        )
        self.record.hold(
            "nothing in force unprepared",
            old is None or not fresh or self._loaded(feed, new),
            lambda: f"{name} obeys state {new.state_revision} without what it needs",
        )
        self.looked(feed)

    def looked(self, feed: Watched) -> None:
        """Check what a process does with a request now."""
        controls = feed.current
        if controls is None:
            return
        now = EPOCH + self.record.now() + feed.machine.skew_s
        leased = feed.leased
        self._weights(feed, controls, now, leased=leased)
        self._lease(feed, controls, now, leased=leased)
        for kill in self.documents.kills.of(controls.lane_revision, now):
            self.record.hold(
                "kill always wins",
                _obeyed(controls, kill, now, leased=leased),
                lambda kill=kill: f"{feed.machine.name} shows {kill.switch} although it is killed",  # type: ignore[misc]
            )

    def heard(self, feed: Watched) -> None:
        """Check that a process that nothing disturbs for long enough knows the newest kill."""
        machine, now = feed.machine, self.record.now()
        since = now - HEALS_WITHIN_S
        if self.server.calm_since(machine) > since:
            return
        self._knows(feed, self.documents.lane_before(since), "a kill arrives")

    def thawed(self, feed: Watched) -> None:
        """Check that a process that was frozen serves nothing before it has read what it missed."""
        machine = feed.machine
        if self.server.disturbs(machine) or machine.frozen_until - machine.frozen_at < 1.5:
            return
        known = self.documents.lane_before(machine.frozen_until)
        self._knows(feed, known, "no reply from before a freeze")

    def _knows(self, feed: Watched, lane: int, invariant: str) -> None:
        controls = feed.current
        if controls is not None:
            self.record.hold(
                invariant,
                controls.lane_revision >= lane,
                lambda: f"{feed.machine.name} obeys lane {controls.lane_revision}, not {lane}",
            )

    def _stored(self, name: str, new: Controls) -> None:
        documents = self.documents
        self.record.hold(
            "only what is stored",
            new.state == documents.states.get(new.state_revision)
            and (not new.lane_revision or new.lane == documents.lanes.get(new.lane_revision)),
            lambda: f"{name} obeys {_revisions(new)}, which were never stored so",
        )

    def _loaded(self, feed: Watched, controls: Controls) -> bool:
        stock = feed.machine.stock
        return stock is None or stock.issuperset(needed(controls, "rerank"))

    def _weights(self, feed: Watched, controls: Controls, now: float, *, leased: bool) -> None:
        route = routing(controls, now=now, leased=leased)
        # The roles change at three places only, so these buckets weigh the whole range.
        control = min(route.weight_bp, BUCKETS - route.weight_bp)
        edges = sorted({0, route.weight_bp, BUCKETS - control, BUCKETS})
        shares: Counter[str] = Counter()
        for low, high in itertools.pairwise(edges):
            first, last = role_of(low, route.weight_bp), role_of(high - 1, route.weight_bp)
            shares[route.release_of(first).name if first is last else "?"] += high - low
        stable = shares[route.stable.name]
        asked = controls.state.canary.weight_bp if controls.state.canary else 0
        self.record.hold(
            "weights sum to 100 %",
            sum(shares.values()) == BUCKETS
            and (route.canary is None or stable + shares[route.canary.name] == BUCKETS)
            and stable >= BUCKETS - asked,
            lambda: f"{feed.machine.name} splits {dict(shares)}",
        )

    def _lease(self, feed: Watched, controls: Controls, now: float, *, leased: bool) -> None:
        silent_s = self.record.now() - self._beat_at[id(feed)]
        if silent_s <= LEASE_S + _SLACK_S:
            return
        weight = routing(controls, now=now, leased=leased).weight_bp
        self.record.hold(
            "a canary is a lease",
            weight == 0,
            lambda: f"{feed.machine.name} gives {weight} bp, {silent_s:.1f} s without a heartbeat",
        )

    def apart(self, feed: Watched, effective_hash: str, hashes: set[str]) -> str:
        """Return why a process does not obey the newest documents; empty when it does.

        ``hashes`` collects what those that do have in force.
        """
        controls, (state, lane) = feed.current, self.documents.newest
        name = feed.machine.name
        if controls is None or controls.lane_revision != lane:
            return f"{name} obeys {_revisions(controls)}, not lane {lane}"
        if controls.state_revision == state:
            hashes.add(effective_hash)
            return ""
        wanted = Controls(self.documents.states[state], state, controls.lane, lane)
        refused = self.unloadable.get(name) in needed(wanted, "rerank")
        return "" if refused else f"{name} obeys {_revisions(controls)}, not state {state}"


def _revisions(controls: Controls | None) -> tuple[int, int] | None:
    return None if controls is None else (controls.state_revision, controls.lane_revision)


def _obeyed(controls: Controls, kill: Kill, now: float, *, leased: bool) -> bool:
    if kill.switch is Switch.RELEASE:
        route = routing(controls, now=now, leased=leased)
        if route.canary is not None and route.canary.name == kill.value:
            return False
        # A banned stable release serves on only when nothing else may.
        return route.stable.name != kill.value or not _another(controls, now)
    shown = effective(controls, now=now, tenant=kill.tenant, detector=kill.detector)
    match kill.switch:
        case Switch.PIPELINE:
            return not shown.open
        case Switch.MAPPER_MODE:
            return shown.mapper_mode is MappingMode.RULES_ONLY
        case Switch.RERANKER:
            return not shown.reranker_on
        case _:
            return shown.retriever_impl is not None


def _another(controls: Controls, now: float) -> bool:
    lane = controls.lane.kills
    banned = {k.value for k in lane if k.switch is Switch.RELEASE and not is_over(k, now)}
    previous = controls.state.previous
    return previous is not None and previous not in banned
