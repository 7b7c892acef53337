"""What a collection needs next, as a pure function of what happened to it: BM25, an IVF index, a snapshot.

Search never waits for any of these: dense results hold a new passage at once, its words follow within
half a second, and what is slow is done rarely.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from services.retriever.index import nlist_for
from services.retriever.plan import DensePlan

_QUIET_S = 0.1
_BUSY_SHARE = 3.0
"""A rebuild that took t seconds is not begun again before 3 t: at most a quarter of one core."""

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
    lexical_stale_since: float | None = None
    """First change that the BM25 index does not hold; None when it holds all."""
    lexical_took_s: float = 0.0
    """What its last build took."""
    lexical_built_at: float = float("-inf")
    """When it was built."""
    unsaved_since: float | None = None
    """First change that no snapshot holds; None when one holds all."""
    save_took_s: float = 0.0
    """What the last snapshot took."""

    def changed(self, passages: int, now: float) -> "Condition":
        """Return the condition after passages were applied."""
        stale, unsaved = self.lexical_stale_since, self.unsaved_since
        return replace(
            self,
            passages=passages,
            changed_at=now,
            lexical_stale_since=now if stale is None else stale,
            unsaved_since=now if unsaved is None else unsaved,
        )


Choose = Callable[[Condition, DensePlan], Chore | None]
"""What to do now, of what one kind of caller cares about."""


def next_chore(state: Condition, plan: DensePlan, now: float) -> Chore | None:
    """Return what to do now, the most visible first; None when everything can wait."""
    if _lexical_due_at(state) <= now:
        return Chore.LEXICAL
    if wants_ivf(state, plan):
        return Chore.IVF
    if _snapshot_due_at(state) <= now:
        return Chore.SNAPSHOT
    return None


def missing(state: Condition, plan: DensePlan) -> Chore | None:
    """Return what a search would miss now, however recent: done before a worker says it is ready."""
    if state.lexical_stale_since is not None:
        return Chore.LEXICAL
    return Chore.IVF if wants_ivf(state, plan) else None


def due_in(state: Condition, plan: DensePlan, now: float) -> float:
    """Return the seconds until the next chore is due; infinite when none will be."""
    if wants_ivf(state, plan):
        return 0.0
    return max(0.0, min(_lexical_due_at(state), _snapshot_due_at(state)) - now)


def wants_ivf(state: Condition, plan: DensePlan) -> bool:
    """Whether the collection outgrew its index: FLAT too long, or IVF lists too few."""
    if state.passages < plan.flat_below:
        return False
    return nlist_for(state.passages, plan.nlist_per_sqrt) >= _REGROWTH * max(state.nlist, 0.5)


def _lexical_due_at(state: Condition) -> float:
    if state.lexical_stale_since is None:
        return float("inf")
    rested = state.lexical_built_at + _BUSY_SHARE * state.lexical_took_s
    return max(state.lexical_stale_since + _QUIET_S, rested)


def _snapshot_due_at(state: Condition) -> float:
    if state.unsaved_since is None or state.nlist == 0:
        return float("inf")  # FLAT is its vectors, and these are in the store
    latest = state.unsaved_since + max(_SNAPSHOT_LATEST_S, _SNAPSHOT_SHARE * state.save_took_s)
    return min(state.changed_at + _SNAPSHOT_QUIET_S, latest)
