"""Equal recall: the smallest value of an engine's knob that finds at least as much as somebody else. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

KEPT = 10
"""Recall is of the nearest ten."""

_FINE = 16
"""The knob is settled to within one sixteenth of its value."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """A value of the knob."""

    effort: int
    """The value."""
    recall: float
    """0..1, on the queries it was tuned with."""
    reached: bool
    """Whether that is as much as was asked for; if not, ``effort`` is the largest value."""


def recall(found: Sequence[Sequence[int]], truth: Sequence[frozenset[int]]) -> float:
    """Return the share of the true nearest that was found, over all queries."""
    shared = sum(len(true & set(rows[:KEPT])) for rows, true in zip(found, truth, strict=True))
    return shared / sum(map(len, truth))


def tune(recall_of: Callable[[int], float], least: int, most: int, wanted: float) -> Tuned:
    """Return the smallest value between ``least`` and ``most`` whose recall is ``wanted`` or more.

    Doubles until it is reached, then halves the gap; recall is taken to grow with the knob.
    """
    below, effort = least - 1, least
    seen = recall_of(effort)
    while seen < wanted and effort < most:
        below, effort = effort, min(2 * effort, most)
        seen = recall_of(effort)
    if seen < wanted:
        return Tuned(effort, seen, False)
    while effort - below > max(1, effort // _FINE):
        middle = (below + effort) // 2
        at_middle = recall_of(middle)
        if at_middle >= wanted:
            effort, seen = middle, at_middle
        else:
            below = middle
    return Tuned(effort, seen, True)
