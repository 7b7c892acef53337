"""Bugs that are planted to see that the simulation can fail: each breaks one rule that the code keeps.

A simulation that never fails proves nothing; these are the mistakes that the rules are there to prevent.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import msgspec
import nats.errors

import services.controller.evidence as evidence
import services.controller.policy as policy
import trimtab.control.effective as effective
import trimtab.control.execute as execution
import trimtab.control.feed as feed
import trimtab.control.lease as lease
import trimtab.control.pulse as pulse
import trimtab.control.store as store
from benchmarks.fleetsim.incidents import plan
from benchmarks.fleetsim.run import Result, simulate
from services.controller.analysis import Outcome, Verdict, judge
from services.controller.leadership import Leadership
from trimtab.contracts.control import ACTIVE_PHASES, Canary, KillLane
from trimtab.contracts.errors import BusUnavailable
from trimtab.contracts.message import encode
from trimtab.control.applying import View, merge
from trimtab.control.commands import change_lane
from trimtab.control.effective import Controls

Plant = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True)
class Bug:
    """One planted bug."""

    name: str
    """What is done wrong."""
    invariants: frozenset[str]
    """Those that may catch it."""
    plant: Plant
    """Does it wrong while its block runs."""


def found(bug: Bug, seeds: Iterable[int]) -> tuple[int, Result | None]:
    """Return how many seeds were run until an invariant broke, and that run; None when none did."""
    tried = 0
    with bug.plant():
        for seed in seeds:
            tried += 1
            result = simulate(plan(seed))
            if result.breach is not None:
                return tried, result
    return tried, None


def _any_revision() -> AbstractContextManager[object]:
    def take(view: View, offered: Controls) -> tuple[View, object]:
        if view.controls is None or offered == view.controls:
            return merge(view, offered)
        return replace(view, controls=offered), None

    return patch.object(feed, "merge", take)


def _nobody_fenced() -> AbstractContextManager[object]:
    def take(view: View, offered: Controls) -> tuple[View, object]:
        merged, refusal = merge(replace(view, epoch=0), offered)
        same = merged.controls is view.controls
        return (view if same else replace(merged, epoch=view.epoch)), refusal

    return patch.object(feed, "merge", take)


def _no_signature() -> AbstractContextManager[object]:
    async def signed(_self: Leadership) -> bool:
        return True

    return patch.object(Leadership, "_sign", signed)


def _endless_lease() -> AbstractContextManager[object]:
    return patch.object(
        feed.ControlFeed, "leased", property(lambda own: own._heartbeats.heard_at > 0)
    )


def _leads_for_ever() -> AbstractContextManager[object]:
    return patch.object(lease.Lease, "held", property(lambda own: own.epoch > 0))


def _swap_first() -> AbstractContextManager[object]:
    take_state = feed.ControlFeed._take_state

    async def swap(own: feed.ControlFeed, offered: Controls, began: float) -> None:
        view, _ = merge(own._view, offered)
        prepare, controls = own.prepare, view.controls
        if own.current is None or controls is None:
            await take_state(own, offered, began)
            return
        own._view = view
        await prepare(controls)

    return patch.object(feed.ControlFeed, "_take_state", swap)


def _kills_wait() -> AbstractContextManager[object]:
    return patch.object(feed, "with_lane", lambda view, _offered: view)


def _no_reading_after_a_freeze() -> AbstractContextManager[object]:
    async def awake(_self: feed.ControlFeed) -> None:
        return

    return patch.object(feed.ControlFeed, "awake", awake)


def _old_beats_count() -> AbstractContextManager[object]:
    beat = feed.ControlFeed._beat

    async def count(own: feed.ControlFeed, message: Any) -> None:
        with patch.object(pulse.Pulse, "steady", property(lambda _: True)):
            await beat(own, message)

    return patch.object(feed.ControlFeed, "_beat", count)


@contextmanager
def _hints_only() -> Iterator[None]:
    async def beat(own: feed.ControlFeed, _message: object) -> None:
        own._heartbeats.heard_at = own._pulse.ticked_at

    with patch.object(feed.ControlFeed, "_beat", beat), patch.object(feed, "REREAD_S", 1e6):
        yield


def _blind_writes() -> AbstractContextManager[object]:
    async def put(own: store.ControlStore, key: str, document: Any, _expected: int) -> int:
        try:
            return await own.bucket.update(key, encode(document))
        except nats.errors.Error:
            raise BusUnavailable("nobody knows whether it was written") from None

    return patch.object(store.ControlStore, "_put", put)


def _one_kill_at_a_time() -> AbstractContextManager[object]:
    def change(lane: KillLane, command: Any, by: Any) -> KillLane:
        return change_lane(msgspec.structs.replace(lane, kills=[]), command, by)

    return patch.object(execution, "change_lane", change)


def _bans_forgotten() -> AbstractContextManager[object]:
    def gets(canary: Canary, _banned: set[str], *, leased: bool) -> bool:
        return canary.phase in ACTIVE_PHASES and canary.weight_bp > 0 and leased

    return patch.object(effective, "_gets_requests", gets)


def _no_data_passes() -> AbstractContextManager[object]:
    def pass_it(*args: Any) -> Verdict:
        verdict = judge(*args)
        unsure = verdict.outcome is Outcome.INCONCLUSIVE
        return replace(verdict, outcome=Outcome.PASS) if unsure else verdict

    return patch.object(evidence, "judge", pass_it)


def _old_evidence() -> AbstractContextManager[object]:
    after = evidence.Evidence.after

    def all_of_it(own: evidence.Evidence, samples: Any, *args: Any, since: float) -> Any:
        del since
        return after(own, samples, *args, since=0.0)

    return patch.object(evidence.Evidence, "after", all_of_it)


def _held_for_ever() -> AbstractContextManager[object]:
    return patch.object(policy.Policy, "max_hold_s", property(lambda _own: 1e9))


BUGS = (
    Bug("any revision is taken", frozenset({"no lower revision"}), _any_revision),
    Bug("workers fence nobody", frozenset({"a fenced write is refused"}), _nobody_fenced),
    Bug(
        "a new leader does not sign the state",
        frozenset({"all obey the same in the end", "a ramp comes to an end"}),
        _no_signature,
    ),
    Bug("a lease never ends", frozenset({"a canary is a lease"}), _endless_lease),
    Bug(
        "a leader never doubts its lease",
        frozenset({"a fenced write changes nothing"}),
        _leads_for_ever,
    ),
    Bug("swapped before prepared", frozenset({"nothing in force unprepared"}), _swap_first),
    Bug("kills wait for what is prepared", frozenset({"a kill arrives"}), _kills_wait),
    Bug(
        "nothing is read after a freeze",
        frozenset({"no reply from before a freeze"}),
        _no_reading_after_a_freeze,
    ),
    Bug(
        "heartbeats from before a freeze count",
        frozenset({"a canary is a lease"}),
        _old_beats_count,
    ),
    Bug(
        "hints are the only path",
        frozenset({"a kill arrives", "all obey the same in the end", "a ramp comes to an end"}),
        _hints_only,
    ),
    Bug(
        "writes without comparing",
        frozenset(
            {"a fenced write changes nothing", "an end is an end", "kill always wins"}
            | {"each step once, in order", "what a person paused stays"}
        ),
        _blind_writes,
    ),
    Bug("one kill replaces all", frozenset({"kill always wins"}), _one_kill_at_a_time),
    Bug("a banned canary serves", frozenset({"kill always wins"}), _bans_forgotten),
    Bug("no data passes", frozenset({"no promotion without evidence"}), _no_data_passes),
    Bug(
        "requests from before a step count",
        frozenset({"no promotion without evidence"}),
        _old_evidence,
    ),
    Bug("held for ever", frozenset({"a ramp comes to an end"}), _held_for_ever),
)
"""In the order in which they are planted."""
