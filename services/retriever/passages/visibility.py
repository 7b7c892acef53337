"""Which slots of a collection a tenant may see: its own passages and the public ones, no others.

The sets made here are what every search is restricted to before it looks at anything.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab.contracts.retrieve import PUBLIC_TENANT

EXACT_BELOW = 10_000
"""Visible slots up to which a filtered search looks at each of them: 10,000 x 384 take about 1 ms."""

_CACHED_SETS = 64
"""Tenants whose sets are kept between changes of the collection."""

_NOBODY = -1
_PUBLIC = 0


@dataclass(frozen=True, slots=True)
class VisibleSet:
    """The slots that one tenant may see, at one moment."""

    count: int
    """How many."""
    everything: bool
    """Whether that is every slot, so that no filter is needed."""
    bitmap: NDArray[np.uint8]
    """Bit ``i % 8`` of byte ``i // 8`` is set when slot ``i`` is visible."""

    @property
    def few(self) -> bool:
        """Whether looking at each of them is faster than searching with a filter."""
        return not self.everything and self.count <= EXACT_BELOW

    def contains(self, slots: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return, for each slot, whether it is visible; slots outside the collection are not."""
        inside = (slots >= 0) & (slots < self.bitmap.size * 8)
        known = np.where(inside, slots, 0)
        bits = self.bitmap[known >> 3] >> (known & 7).astype(np.uint8)
        visible: NDArray[np.bool_] = inside & ((bits & 1) == 1)
        return visible

    def without(self, slots: NDArray[np.int64]) -> "VisibleSet":
        """Return the set less some slots; those that were not visible change nothing."""
        hidden = np.unique(slots[self.contains(slots)])
        if not len(hidden):
            return self
        bitmap = self.bitmap.copy()
        np.bitwise_and.at(bitmap, hidden >> 3, ~np.left_shift(1, hidden & 7).astype(np.uint8))
        return VisibleSet(self.count - len(hidden), False, bitmap)

    def slots(self) -> NDArray[np.int64]:
        """Return the visible slots, ascending."""
        return np.flatnonzero(np.unpackbits(self.bitmap, bitorder="little")).astype(np.int64)


class Visibility:
    """Owner of every slot of one collection; used from one thread."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {PUBLIC_TENANT: _PUBLIC}
        self._owners = np.full(1024, _NOBODY, dtype=np.int32)
        self._size = 0
        self.living = 0
        """Slots that somebody owns."""
        self._sets: OrderedDict[int, VisibleSet] = OrderedDict()

    def put(self, slots: NDArray[np.int64], tenants: Sequence[str]) -> None:
        """Set the owner of each of n distinct slots; a slot may be new or change hands."""
        if not len(slots):
            return
        self._reserve(int(slots.max()) + 1)
        self.living += int(np.count_nonzero(self._owners[slots] == _NOBODY))
        self._owners[slots] = [
            self._numbers.setdefault(name, len(self._numbers)) for name in tenants
        ]
        self._sets.clear()

    def remove(self, slots: NDArray[np.int64]) -> None:
        """Hide n distinct slots from everybody."""
        self.living -= int(np.count_nonzero(self._owners[slots] != _NOBODY))
        self._owners[slots] = _NOBODY
        self._sets.clear()

    def owned(self, slots: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return, for each slot, whether somebody owns it."""
        inside = (slots >= 0) & (slots < self._size)
        owned: NDArray[np.bool_] = inside & (self._owners[np.where(inside, slots, 0)] != _NOBODY)
        return owned

    def of(self, tenant: str) -> VisibleSet:
        """Return what ``tenant`` sees; one without passages of its own sees the public ones."""
        number = self._numbers.get(tenant, _PUBLIC)
        found = self._sets.get(number)
        if found is None:
            found = self._sets[number] = self._make(number)
            if len(self._sets) > _CACHED_SETS:
                self._sets.popitem(last=False)
        else:
            self._sets.move_to_end(number)
        return found

    def slots(self) -> NDArray[np.int64]:
        """Return every slot that somebody owns, ascending."""
        return np.flatnonzero(self._owners[: self._size] != _NOBODY).astype(np.int64)

    def _make(self, number: int) -> VisibleSet:
        owners = self._owners[: self._size]
        mask = (owners == number) | (owners == _PUBLIC)
        count = int(np.count_nonzero(mask))
        bitmap = np.packbits(mask, bitorder="little") if self._size else np.zeros(1, dtype=np.uint8)
        return VisibleSet(count, count == self._size, bitmap)

    def _reserve(self, size: int) -> None:
        if size > len(self._owners):
            grown = np.full(max(size, 2 * len(self._owners)), _NOBODY, dtype=np.int32)
            grown[: self._size] = self._owners[: self._size]
            self._owners = grown
        self._size = max(self._size, size)
