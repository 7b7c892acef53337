"""Passages that searches returned lately, so that most hits cost no read; used from the search thread."""

from collections.abc import Callable, Sequence

from trimtab.contracts.retrieve import Hit

CAPACITY_CHARS = 16_000_000
"""Text kept per collection: the shipped corpus whole, of larger ones what is asked for."""

ReadHits = Callable[[Sequence[int]], Sequence[Hit | None]]
"""``read(slots) -> hits``, in order; None for a passage that was just removed."""


class HitCache:
    """Keeps hits by slot, first in, first out."""

    def __init__(self, read: ReadHits, capacity_chars: int = CAPACITY_CHARS) -> None:
        self._read = read
        self._capacity = capacity_chars
        self._hits: dict[int, Hit] = {}
        self._chars = 0

    def get(self, slots: Sequence[int]) -> list[Hit | None]:
        """Return the passage at each slot, in order; None where there is none any more."""
        kept = self._hits
        missing = [slot for slot in slots if slot not in kept]
        found = dict(zip(missing, self._read(missing), strict=True)) if missing else {}
        hits = [kept[slot] if slot in kept else found[slot] for slot in slots]
        for slot, hit in found.items():
            if hit is not None:
                self._keep(slot, hit)
        return hits

    def forget(self, slots: Sequence[int]) -> None:
        """Drop passages that were replaced or removed."""
        for slot in slots:
            self._drop(slot)

    def _keep(self, slot: int, hit: Hit) -> None:
        self._hits[slot] = hit
        self._chars += len(hit.text)
        while self._chars > self._capacity:
            self._drop(next(iter(self._hits)))

    def _drop(self, slot: int) -> None:
        hit = self._hits.pop(slot, None)
        if hit is not None:
            self._chars -= len(hit.text)
