"""What a collection needs next, as a pure function of what happened to it: BM25, an index, a snapshot.

Search never waits for any of these: a change is found at once, by its vector and by its words, and what is slow is
done rarely.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from services.retriever.dense.index import Kind
from services.retriever.plan import Plan, nlist_for

_REGROWTH = 2.0
"""Lists are made anew when the rule asks for this many times as many."""

_MOST_DEAD = 0.5
"""Tombstones per living entry from which a graph is made anew: searches slow down as it fills with them."""

_SNAPSHOT_QUIET_S = 5.0
_SNAPSHOT_LATEST_S = 60.0
_SNAPSHOT_SHARE = 20.0
_SNAPSHOT_WORTH = 0.01
"""Share of the passages that must have changed: the others are read from the store faster than all is written."""

_SNAPSHOT_RARE_S = 3600.0
"""Fewer changes than that are saved after so long, and at an orderly stop."""


class Chore(StrEnum):
    """Work that is done beside the searches."""

    LEXICAL = "lexical"
    INDEX = "index"
    SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True)
class Condition:
    """What upkeep knows of one collection; times are seconds of one monotonic clock."""

    passages: int = 0
    """Passages it holds."""
    kind: Kind = "flat"
    """What answers now."""
    nlist: int = 0
    """IVF lists; 0 without."""
    dead: int = 0
    """Tombstones in its index."""
    trained: bool = False
    """Whether the component brings an index for it: that one is used, however few passages there are."""
    unfit_at: int = 0
    """Passages when the plan's index could not be made of them; 0 when it could."""
    changed_at: float = 0.0
    """Last change."""
    lexical_missing: bool = False
    """Whether there were passages before there was a BM25 index to follow their changes."""
    unsaved_since: float | None = None
    """First change that no snapshot holds; None when one holds all."""
    behind: int | None = None
    """Passages that the newest snapshot of this index lacks; None when there is no snapshot of it."""
    saved_at: float = float("-inf")
    """When the last snapshot was written."""
    save_took_s: float = 0.0
    """What it took."""

    def changed(self, passages: int, now: float, dead: int = 0, count: int = 1) -> "Condition":
        """Return the condition after ``count`` passages were applied, with ``dead`` tombstones in the index then."""
        unsaved = self.unsaved_since
        return replace(
            self,
            passages=passages,
            dead=dead,
            changed_at=now,
            unsaved_since=now if unsaved is None else unsaved,
            behind=None if self.behind is None else self.behind + count,
        )

    def indexed(self, kind: Kind, nlist: int, dead: int = 0) -> "Condition":
        """Return the condition once another index answers, of which there is no snapshot."""
        return replace(self, kind=kind, nlist=nlist, dead=dead, unfit_at=0, behind=None)

    def unsaved(self, now: float) -> "Condition":
        """Return the condition once there is something that no snapshot holds."""
        return self if self.unsaved_since is not None else replace(self, unsaved_since=now)

    def saved(self, now: float, took_s: float = 0.0) -> "Condition":
        """Return the condition once a snapshot holds everything."""
        return replace(self, unsaved_since=None, behind=0, saved_at=now, save_took_s=took_s)


Choose = Callable[[Condition, Plan], Chore | None]
"""What to do now, of what one kind of caller cares about."""


def next_chore(state: Condition, plan: Plan, now: float) -> Chore | None:
    """Return what to do now, the most visible first; None when everything can wait."""
    if state.lexical_missing:
        return Chore.LEXICAL
    if wants_index(state, plan):
        return Chore.INDEX
    if _snapshot_due_at(state) <= now:
        return Chore.SNAPSHOT
    return None


def missing(state: Condition, plan: Plan) -> Chore | None:
    """Return what a search would miss now, however recent: done before a worker says it is ready."""
    if state.lexical_missing:
        return Chore.LEXICAL
    return Chore.INDEX if wants_index(state, plan) else None


def due_in(state: Condition, plan: Plan, now: float) -> float:
    """Return the seconds until the next chore is due; infinite when none will be."""
    if missing(state, plan) is not None:
        return 0.0
    return max(0.0, _snapshot_due_at(state) - now)


def wants_index(state: Condition, plan: Plan) -> bool:
    """Whether the collection outgrew what answers: FLAT too long, lists too few, or a graph full of tombstones.

    Lists that the component brought are never made anew here, for every worker has the same: it is advised
    to publish others.
    """
    if plan.index.kind == "flat" or state.passages < 2 * state.unfit_at:
        return False
    if state.kind == "flat":
        return state.passages >= (1 if state.trained else plan.dense.flat_below)
    if state.dead:
        return state.dead > _MOST_DEAD * max(state.passages, 1)
    if state.trained or not state.nlist or state.passages < plan.dense.flat_below:
        return False
    return nlist_for(state.passages, plan.dense.nlist_per_sqrt) >= _REGROWTH * state.nlist


def _snapshot_due_at(state: Condition) -> float:
    if state.unsaved_since is None or state.kind == "flat":
        return float("inf")  # FLAT is its vectors, and these are in the store
    rest_s = max(_SNAPSHOT_LATEST_S, _SNAPSHOT_SHARE * state.save_took_s)
    rested = state.saved_at + rest_s
    if state.behind is not None and state.behind < _SNAPSHOT_WORTH * state.passages:
        return max(state.unsaved_since + _SNAPSHOT_RARE_S, rested)
    quiet = min(state.changed_at + _SNAPSHOT_QUIET_S, state.unsaved_since + rest_s)
    return max(quiet, rested)
