"""When an index should be built anew: it grew since it was trained, its lists are uneven, or it is full of dead. Pure."""

from dataclasses import dataclass

GROWTH = 0.10
"""Share that a collection may grow after its index was trained (runbook 5, data drift)."""

IMBALANCE = 2.0
"""Imbalance factor of lists that is still well; a search visits that many times the vectors of even lists."""

HOT = 10.0
"""Times the mean that the longest list may be (runbook 5, risk of a hot list)."""

DEAD = 0.3
"""Share of a graph that may be tombstones."""


@dataclass(frozen=True, slots=True)
class Shape:
    """An index in numbers, at one moment."""

    passages: int = 0
    """Passages searchable."""
    indexed: int = 0
    """Passages when the index was trained; 0 while FLAT answers."""
    nlist: int = 0
    """Lists; 0 without."""
    imbalance: float = 0.0
    """1 is even; 0 without lists."""
    longest: int = 0
    """Passages in the longest list."""
    dead: int = 0
    """Tombstones."""

    @property
    def growth(self) -> float:
        """Return how much the collection grew since the index was trained, as a share; less than 0: it shrank."""
        return (self.passages - self.indexed) / self.indexed if self.indexed else 0.0

    @property
    def hottest(self) -> float:
        """Return how many times the mean the longest list is; 0 without lists."""
        return self.longest * self.nlist / self.passages if self.passages and self.nlist else 0.0


def reasons_to_rebuild(shape: Shape) -> list[str]:
    """Return why, a few words each; empty when the index is well or there is none."""
    found = []
    if shape.growth > GROWTH:
        found.append(f"grew {100 * shape.growth:.0f} % since trained")
    if shape.imbalance > IMBALANCE:
        found.append(f"lists are uneven: imbalance {shape.imbalance:.2f}")
    if shape.hottest > HOT:
        found.append(f"the longest list is {shape.hottest:.0f} times the mean")
    if shape.dead > DEAD * max(shape.passages, 1):
        found.append(f"{shape.dead} of its entries are replaced or removed")
    return found


def advice(collection: str, shape: Shape) -> str:
    """Return what to do and why, as one line; empty when nothing need be done."""
    reasons = reasons_to_rebuild(shape)
    if not reasons:
        return ""
    return f"rebuild: {'; '.join(reasons)}; `trimtab index rebuild {collection} --queries FILE`"
