"""The segments of one index: searched together, changed by small ones, merged beside the searches.

Like a log-structured merge tree (O'Neil et al., 1996): what comes is a small segment of its own, found at once;
what goes is marked in its segment. Merging keeps each segment more than three times as large as all smaller ones
together, so that there are few, and every passage is moved a few times only. Everything but :meth:`Merge.run`
happens in one thread.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.retriever.passages.visibility import VisibleSet
from services.retriever.words.columns import Columns, merged
from services.retriever.words.segment import (
    LiveSegment,
    Matches,
    Segment,
    Slots,
    Wanted,
)
from services.retriever.words.walk import Scores, least_of

_RATIO = 3.0
"""A segment is merged with all smaller ones once it is at most this many times as large as they are."""

_GONE_SHARE = 0.25
"""A segment is made anew when more of its passages than that are gone."""

_AT_ONCE = 512
"""Passages up to which a new segment takes a small one in at once: about half a millisecond."""

Scale = Callable[[Segment], Columns]
"""A segment's columns with the values that the merged one is to have."""


@dataclass(frozen=True, slots=True)
class Merge:
    """Work that takes long: one segment out of one or several, without those that were gone when it began."""

    sources: tuple[LiveSegment, ...]
    """What it replaces."""
    parts: tuple[Segment, ...]
    """The same, as anybody may read them."""
    left: tuple[NDArray[np.bool_], ...]
    """Which passages of each part were left."""
    scale: Scale
    """What becomes of the values."""
    mean: float
    """Mean length that ``scale`` computes for."""

    def run(self) -> Segment:
        """Return the new segment; in any thread."""
        if len(self.parts) == 1 and self.left[0].all():
            (part,) = self.parts
            return Segment.of(part.slots, part.lengths, self.scale(part), self.mean)
        slots = np.concatenate(
            [p.slots[left] for p, left in zip(self.parts, self.left, strict=True)]
        )
        lengths = np.concatenate(
            [p.lengths[left] for p, left in zip(self.parts, self.left, strict=True)]
        )
        order = np.argsort(slots)
        slots = slots[order]
        numbered = []
        for part, left in zip(self.parts, self.left, strict=True):
            numbers = np.searchsorted(slots, part.slots).astype(np.int32)
            numbers[~left] = -1
            numbered.append((self.scale(part), numbers))
        return Segment.of(slots, lengths[order], merged(numbered, len(slots)), self.mean)


class Segments:
    """Every segment of one index."""

    def __init__(self) -> None:
        self._live: list[LiveSegment] = []
        self._merging: tuple[LiveSegment, ...] = ()

    @property
    def each(self) -> Sequence[LiveSegment]:
        """The segments, largest first."""
        return self._live

    def add(self, segment: Segment, scale: Scale, mean: float) -> None:
        """Let the passages of a segment be found; none of them is in another one."""
        added = LiveSegment(segment)
        small = [
            live
            for live in self._live
            if live not in self._merging and len(live.segment.slots) + added.size <= _AT_ONCE
        ]
        self._live.append(added)
        if small:
            merge = _merge((*small[-1:], added), scale, mean)
            self.adopt(merge, merge.run())
        self._sort()

    def bury(self, slots: Slots) -> None:
        """Take passages out, wherever they are."""
        for live in self._live:
            live.bury(slots)

    def search(self, wanted: Wanted, limit: int, visible: VisibleSet, others: Slots) -> Matches:
        """Return the ``limit`` best visible passages of all segments, and the scores of ``others``."""
        slots, scores = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.float32)]
        other_scores: Scores = np.zeros(len(others), dtype=np.float32)
        floor = 0.0
        for live in self._live:
            found = live.search(wanted, limit, visible, others, floor)
            if found is None:
                continue
            other_scores += found.others
            slots.append(found.slots)
            scores.append(found.scores)
            if sum(map(len, scores)) >= limit:
                floor = least_of(np.concatenate(scores), limit)
        all_slots, all_scores = np.concatenate(slots), np.concatenate(scores)
        order = np.lexsort((all_slots, -all_scores))[:limit]
        return Matches(all_slots[order], all_scores[order], other_scores)

    def scores(self, wanted: Wanted, slots: Slots) -> Scores:
        """Return the score of each slot; 0 where it is not there, or holds no term."""
        scores: Scores = np.zeros(len(slots), dtype=np.float32)
        for live in self._live:
            scores += live.scores(wanted, slots)
        return scores

    def due(self, scale: Scale, mean: float, off: Callable[[Segment], bool]) -> Merge | None:
        """Return what should be merged now, if anything; ``off`` says whose values must be scaled anew."""
        chosen = (
            self._to_merge()
            or self._to_clean()
            or tuple(live for live in self._live if off(live.segment))[:1]
        )
        self._merging = chosen
        return _merge(chosen, scale, mean) if chosen else None

    def adopt(self, merge: Merge, segment: Segment) -> None:
        """Let a merged segment stand for its sources, less what went meanwhile."""
        self._merging = ()
        if not all(source in self._live for source in merge.sources):
            return
        made = LiveSegment(segment)
        for source, left in zip(merge.sources, merge.left, strict=True):
            went = left & ~source.left
            if went.any():
                made.bury(source.segment.slots[went])
        self._live = [live for live in self._live if live not in merge.sources]
        if made.size:
            self._live.append(made)
        self._sort()

    def _to_merge(self) -> tuple[LiveSegment, ...]:
        """Return the most smallest segments that are together not much smaller than the next one."""
        ascending = self._live[::-1]
        together, count = 0, 0
        for number, live in enumerate(ascending):
            if number and live.size <= _RATIO * together:
                count = number + 1
            together += live.size
        return tuple(ascending[:count])

    def _to_clean(self) -> tuple[LiveSegment, ...]:
        unclean = (live for live in self._live if live.gone > _GONE_SHARE * len(live.segment.slots))
        return tuple(unclean)[:1]

    def _sort(self) -> None:
        self._live.sort(key=lambda live: -live.size)


def _merge(sources: tuple[LiveSegment, ...], scale: Scale, mean: float) -> Merge:
    parts = tuple(source.segment for source in sources)
    return Merge(sources, parts, tuple(source.left for source in sources), scale, mean)
