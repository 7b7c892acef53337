"""What a collection needs next, as a pure function of what happened to it: BM25, an IVF index, a snapshot.

Search never waits for any of these: a change is found at once, by its vector and by its words, and what is slow is
done rarely.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from services.retriever.index import nlist_for
from services.retriever.plan import DensePlan

_REGROWTH = 2.0
"""Lists are made anew when the rule asks for this many times as many."""

_SNAPSHOT_QUIET_S = 5.0
_SNAPSHOT_LATEST_S = 60.0
_SNAPSHOT_SHARE = 20.0


class Chore(StrEnum):
    """Work that is done beside the searches."""

    LEXICAL = "lexical"
    IVF = "ivf"
    SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True)
class Condition:
    """What upkeep knows of one collection; times are seconds of one monotonic clock."""

    passages: int = 0
    """Passages it holds."""
    nlist: int = 0
    """IVF lists; 0 while FLAT answers."""
    changed_at: float = 0.0
    """Last change."""
    lexical_missing: bool = False
    """Whether there were passages before there was a BM25 index to follow their changes."""
    unsaved_since: float | None = None
    """First change that no snapshot holds; None when one holds all."""
    save_took_s: float = 0.0
    """What the last snapshot took."""

    def changed(self, passages: int, now: float) -> "Condition":
        """Return the condition after passages were applied."""
        unsaved = self.unsaved_since
        return replace(
            self,
            passages=passages,
            changed_at=now,
            unsaved_since=now if unsaved is None else unsaved,
        )


Choose = Callable[[Condition, DensePlan], Chore | None]
"""What to do now, of what one kind of caller cares about."""


def next_chore(state: Condition, plan: DensePlan, now: float) -> Chore | None:
    """Return what to do now, the most visible first; None when everything can wait."""
    if state.lexical_missing:
        return Chore.LEXICAL
    if wants_ivf(state, plan):
        return Chore.IVF
    if _snapshot_due_at(state) <= now:
        return Chore.SNAPSHOT
    return None


def missing(state: Condition, plan: DensePlan) -> Chore | None:
    """Return what a search would miss now, however recent: done before a worker says it is ready."""
    if state.lexical_missing:
        return Chore.LEXICAL
    return Chore.IVF if wants_ivf(state, plan) else None


def due_in(state: Condition, plan: DensePlan, now: float) -> float:
    """Return the seconds until the next chore is due; infinite when none will be."""
    if missing(state, plan) is not None:
        return 0.0
    return max(0.0, _snapshot_due_at(state) - now)


def wants_ivf(state: Condition, plan: DensePlan) -> bool:
    """Whether the collection outgrew its index: FLAT too long, or IVF lists too few."""
    if state.passages < plan.flat_below:
        return False
    return nlist_for(state.passages, plan.nlist_per_sqrt) >= _REGROWTH * max(state.nlist, 0.5)


def _snapshot_due_at(state: Condition) -> float:
    if state.unsaved_since is None or state.nlist == 0:
        return float("inf")  # FLAT is its vectors, and these are in the store
    latest = state.unsaved_since + max(_SNAPSHOT_LATEST_S, _SNAPSHOT_SHARE * state.save_took_s)
    return min(state.changed_at + _SNAPSHOT_QUIET_S, latest)
