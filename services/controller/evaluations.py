"""The newest evaluation of each release: what operators measured of the running search on held-out queries."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from trimtab.contracts.component import Release
from trimtab.contracts.evaluation import Evaluation

HOLDS_S = 36 * 3600.0
"""How long an evaluation speaks for a release: until the next nightly one, and half a day's grace."""


@dataclass
class Evaluations:
    """What was heard, by name of the release; one speaks for the content alone that it was stored for."""

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

    def named(self, name: str, now: float) -> Evaluation | None:
        """Return the newest evaluation of a release of that name, whatever its content."""
        found = self._newest.get(name)
        return found if found is not None and now - found.at < HOLDS_S else None

    def of(self, releases: Iterable[Release], now: float) -> Evaluation | None:
        """Return the newest evaluation of any of the releases that still speaks for it."""
        found = (
            each
            for release in releases
            if (each := self.named(release.name, now)) is not None
            and each.release_hash == release.hash
        )
        return max(found, key=lambda each: each.at, default=None)
