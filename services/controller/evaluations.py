"""The newest evaluation of each release: what operators measured of the running search on held-out queries."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from trimtab.contracts.evaluation import Evaluation

HOLDS_S = 36 * 3600.0
"""How long an evaluation speaks for a release: until the next nightly one, and half a day's grace."""


@dataclass
class Evaluations:
    """What was heard, by release."""

    _newest: dict[str, Evaluation] = field(default_factory=dict)

    def hear(self, evaluation: Evaluation) -> None:
        """Take one; an older one than the known changes nothing."""
        known = self._newest.get(evaluation.release)
        if known is None or evaluation.at > known.at:
            self._newest[evaluation.release] = evaluation

    def forget(self, now: float) -> list[Evaluation]:
        """Return those that speak for nobody any more, each of them once."""
        old = [each for each in self._newest.values() if now - each.at >= HOLDS_S]
        for each in old:
            del self._newest[each.release]
        return old

    def speaking(self, now: float) -> list[Evaluation]:
        """Return those that still speak for their release, the oldest first."""
        alive = (each for each in self._newest.values() if now - each.at < HOLDS_S)
        return sorted(alive, key=lambda each: (each.at, each.release))

    def of(self, releases: Iterable[str], now: float) -> Evaluation | None:
        """Return the newest evaluation of any of the releases that still speaks for it."""
        found = [self._newest[name] for name in releases if name in self._newest]
        newest = max(found, key=lambda each: each.at, default=None)
        return newest if newest is not None and now - newest.at < HOLDS_S else None
