"""What a sample of the searches showed, before and after the reranker: kept until somebody says what was right."""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trimtab.contracts.headers import RequestContext

DEPTH = 10
"""Ranks that count: a right passage further down is as good as none (MRR@10)."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The two orders of one search's candidates, ids only."""

    before: tuple[str, ...]
    """As retrieved."""
    after: tuple[str, ...]
    """As answered."""
    component: str
    """That made the second out of the first; ``none`` where the retrieval order stood."""
    context: RequestContext
    """Whose release and role the search had."""
    at: float
    """When, by the memory's clock."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a choice says of both orders."""

    before: float
    """Reciprocal rank of the chosen passage as retrieved: 0..1; 0 below rank 10."""
    after: float
    """The same as answered."""
    rank: int
    """Of the chosen passage as answered, from 1."""


class Memory:
    """Searches by key, the oldest forgotten first."""

    def __init__(
        self, capacity: int, ttl_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._capacity = capacity
        self._ttl_s = ttl_s
        self._clock = clock
        self._shown: OrderedDict[str, Shown] = OrderedDict()

    def __len__(self) -> int:
        return len(self._shown)

    def keep(
        self,
        key: str,
        before: Sequence[str],
        after: Sequence[str],
        component: str,
        context: RequestContext,
    ) -> None:
        """Remember a search; one of the same key is replaced."""
        now = self._clock()
        self._shown.pop(key, None)
        self._shown[key] = Shown(tuple(before), tuple(after), component, context, now)
        while self._shown and self._overdue(next(iter(self._shown.values())), now):
            self._shown.popitem(last=False)

    def take(self, key: str, passage: str) -> tuple[Shown, Judged] | None:
        """Return a search and what the choice says of it, once: the first choice counts.

        None when the search is not remembered, or did not have this passage among its candidates.
        """
        shown = self._shown.get(key)
        if shown is None or passage not in shown.after:
            return None
        del self._shown[key]
        if self._clock() - shown.at > self._ttl_s:
            return None
        before, after = shown.before.index(passage) + 1, shown.after.index(passage) + 1
        return shown, Judged(_reciprocal(before), _reciprocal(after), after)

    def _overdue(self, shown: Shown, now: float) -> bool:
        return len(self._shown) > self._capacity or now - shown.at > self._ttl_s


def _reciprocal(rank: int) -> float:
    return 1.0 / rank if rank <= DEPTH else 0.0
