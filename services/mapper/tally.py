"""What a mapper answered lately, by label and by control, and what nobody could map: counts, never texts. Pure.

Combinations of labels are counted in cells of ten minutes for two days; unmapped outputs as hash and
length by the space-saving scheme (Metwally et al., ICDT 2005): the frequent ones are found, the rest forgotten.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from services.mapper.definitions.frameworks import Frameworks
from trimtab.contracts.mappers import (
    MAX_SINCE_S,
    MAX_UNMAPPED,
    ControlCount,
    LabelCount,
    Unmapped,
)

CELL_S = 600.0
"""Length of one cell, seconds."""

MOST_SETS = 1000
"""Combinations of labels counted in one cell; what comes beyond is counted as such."""

K = TypeVar("K")

Labels = tuple[str, ...]
Key = tuple[str, str, int, str, str]
"""Detector, digest, length, reason, and the label itself where that is allowed."""


@dataclass
class Counted:
    """Answers of a span."""

    sets: Counter[tuple[str, Labels]] = field(default_factory=Counter)
    """(taxonomy, labels) -> answers."""
    beyond: int = 0
    """Answers whose combination is not among them."""

    @property
    def answers(self) -> int:
        """How many in all."""
        return self.sets.total() + self.beyond

    def labels(self) -> list[LabelCount]:
        """Return answers by label, most frequent first."""
        found: Counter[tuple[str, str]] = Counter()
        for (taxonomy, labels), count in self.sets.items():
            for label in set(labels):
                found[taxonomy, label] += count
        return [
            LabelCount(taxonomy=taxonomy, label=label, answers=count)
            for (taxonomy, label), count in _ordered(found)
        ]

    def controls(self, frameworks: Mapping[str, Frameworks]) -> list[ControlCount]:
        """Return answers by control, most frequent first; ``frameworks`` are by taxonomy."""
        found: Counter[tuple[str, str, str]] = Counter()
        for (taxonomy, labels), count in self.sets.items():
            known = frameworks.get(taxonomy)
            if known is None:
                continue
            for framework, numbers in known.controls_of(labels).items():
                for number in numbers:
                    found[taxonomy, framework, number] += count
        return [
            ControlCount(taxonomy=taxonomy, framework=framework, control=control, answers=count)
            for (taxonomy, framework, control), count in _ordered(found)
        ]


@dataclass
class Tally:
    """Counts of one worker; ``now`` is in seconds of a clock that never goes back."""

    started: float
    """When counting began."""
    _cells: dict[int, Counted] = field(default_factory=dict)
    _unmapped: dict[Key, int] = field(default_factory=dict)

    def add(self, now: float, taxonomy: str, labels: Labels) -> None:
        """Count one answer."""
        cell = self._cell(now)
        key = (taxonomy, labels)
        if key in cell.sets or len(cell.sets) < MOST_SETS:
            cell.sets[key] += 1
        else:
            cell.beyond += 1

    def add_unmapped(self, detector: str, output: str, reason: str, *, tell: bool) -> None:
        """Count an output that nobody knew; ``tell`` keeps the output itself, which is then a label."""
        digest = hashlib.sha256(output.encode()).hexdigest()[:16]
        key = (detector, digest, len(output), reason, output if tell else "")
        if key in self._unmapped or len(self._unmapped) < MAX_UNMAPPED:
            self._unmapped[key] = self._unmapped.get(key, 0) + 1
            return
        least = min(self._unmapped, key=self._unmapped.__getitem__)
        self._unmapped[key] = self._unmapped.pop(least) + 1

    def since(self, now: float, span_s: float) -> tuple[Counted, float]:
        """Return what was counted in the last ``span_s`` seconds and how many seconds these really are."""
        first = int((now - span_s) // CELL_S)
        found = Counted()
        for place, cell in self._cells.items():
            if place >= first:
                found.sets.update(cell.sets)
                found.beyond += cell.beyond
        return found, min(now - first * CELL_S, now - self.started)

    def unmapped(self, most: int) -> list[Unmapped]:
        """Return the most frequent unmapped outputs."""
        return [
            Unmapped(
                detector=detector,
                digest=digest,
                length=length,
                reason=reason,
                output=output,
                count=count,
            )
            for (detector, digest, length, reason, output), count in _ordered(self._unmapped)[:most]
        ]

    def _cell(self, now: float) -> Counted:
        place = int(now // CELL_S)
        found = self._cells.get(place)
        if found is None:
            oldest = int((now - MAX_SINCE_S) // CELL_S)
            self._cells = {at: cell for at, cell in self._cells.items() if at >= oldest}
            found = self._cells[place] = Counted()
        return found


def _ordered(counts: Mapping[K, int]) -> list[tuple[K, int]]:
    return sorted(counts.items(), key=lambda each: (-each[1], str(each[0])))
