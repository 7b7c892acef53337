"""Gates: a measured value, the bound it must keep, and one line that says whether it does. Pure."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Gate:
    """One judged value."""

    name: str
    """What was measured."""
    value: float
    """What came out."""
    bound: Literal["at least", "at most"]
    """Which side of ``limit`` is good."""
    limit: float
    """The bound itself belongs to the good side."""
    detail: str = ""
    """Of what, how many, with what interval."""

    @property
    def ok(self) -> bool:
        """Whether it holds; a value that is no number never does."""
        if math.isnan(self.value):
            return False
        return self.value >= self.limit if self.bound == "at least" else self.value <= self.limit

    def line(self) -> str:
        """Return it for people: ``PASS overlap@10: 0.981, at least 0.95 (...)``."""
        word = "PASS" if self.ok else "FAIL"
        text = f"{word}  {self.name}: {shown(self.value)}, {self.bound} {shown(self.limit)}"
        return f"{text} ({self.detail})" if self.detail else text

    def shape(self) -> dict[str, str | float | bool | None]:
        """Return it for scripts."""
        return {
            "name": self.name,
            "ok": self.ok,
            "value": None if math.isnan(self.value) else self.value,
            "bound": self.bound,
            "limit": self.limit,
            "detail": self.detail,
        }


def at_least(name: str, value: float, limit: float, detail: str = "") -> Gate:
    """Return a gate that larger values pass."""
    return Gate(name, value, "at least", limit, detail)


def at_most(name: str, value: float, limit: float, detail: str = "") -> Gate:
    """Return a gate that smaller values pass."""
    return Gate(name, value, "at most", limit, detail)


def all_hold(gates: Iterable[Gate]) -> bool:
    """Return whether every gate holds; none at all is no pass.

    A command that judged nothing must not end as if it had found everything in order.
    """
    judged = list(gates)
    return bool(judged) and all(gate.ok for gate in judged)


def shown(value: float) -> str:
    """Return a number as people read it: plain, or with an exponent where it is tiny."""
    if value and abs(value) < 1e-3:
        return f"{value:.2e}"
    return f"{value:.4g}"
