"""A measured figure and how it is judged: the median over rounds, its spread, n, and the aim. Pure."""

import statistics
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

AT_MOST: Literal["at most"] = "at most"
AT_LEAST: Literal["at least"] = "at least"


class Aim(msgspec.Struct, frozen=True):
    """What a figure should be."""

    bound: Literal["at most", "at least"]
    """Which side of ``value`` is good."""
    value: float
    """In the figure's unit."""

    def met(self, value: float) -> bool:
        """Return whether a value is on the good side."""
        return value <= self.value if self.bound == AT_MOST else value >= self.value

    def __str__(self) -> str:
        return f"{'<=' if self.bound == AT_MOST else '>='} {number(self.value)}"


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a table."""

    name: str
    """What was measured, with what it was compared to."""
    unit: str
    """``ms``, ``us``, ``texts/s``, ``x`` for a ratio."""
    value: float
    """Median over the rounds."""
    low: float
    """Smallest over the rounds."""
    high: float
    """Largest over the rounds."""
    rounds: Annotated[int, Meta(ge=1)]
    """Rounds behind the spread."""
    n: Annotated[int, Meta(ge=1)]
    """Single measurements in all rounds."""
    aim: Aim | None = None
    """None for a figure that only informs."""

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None without one."""
        return None if self.aim is None else self.aim.met(self.value)


def over_rounds(
    name: str, unit: str, values: Sequence[float], *, n: int, aim: Aim | None = None
) -> Figure:
    """Return the figure of one value per round.

    Raises:
        ValueError: there is no round.
    """
    if not values:
        raise ValueError(f"{name}: no round was measured")
    return Figure(
        name=name,
        unit=unit,
        value=statistics.median(values),
        low=min(values),
        high=max(values),
        rounds=len(values),
        n=n,
        aim=aim,
    )


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile; ``share`` in 0..1.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("a percentile needs values")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def number(value: float) -> str:
    """Return a number with three significant digits, without an exponent."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}"
