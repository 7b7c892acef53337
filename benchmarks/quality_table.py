"""Ways to search as two Markdown tables: how well each finds what is right, and how much better than another. Pure."""

from dataclasses import dataclass

from trimtab.evaluation.bootstrap import Clusters, Interval, paired
from trimtab.evaluation.metrics import Values

SHOWN = ("R@1", "R@5", "MRR@10", "Contain@50")
JUDGED = "R@5"
"""The metric that aims are about."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One collection, searched in every way."""

    title: str
    """Collection and how it was split."""
    size: str
    """Queries and clusters, for people."""
    values: dict[str, dict[str, Values]]
    """By row and metric, one value per query."""
    pairs: list[tuple[str, str]]
    """Rows, each with one that it must beat to be worth anything."""
    clusters: Clusters
    """Which queries belong together."""

    def over(self, name: str, baseline: str, metric: str = JUDGED) -> Interval:
        """Return the difference of two rows, as a share."""
        return paired(self.values[name][metric], self.values[baseline][metric], self.clusters)


def table(measured: Measured) -> str:
    """Return both tables: percent, then points, each with its 95 % interval."""
    heading = f"**{measured.title}**: {measured.size}"
    return f"{heading}\n\n{_levels(measured)}\n\n{_differences(measured)}"


def _levels(measured: Measured) -> str:
    lines = _head("search", *SHOWN)
    for name, values in measured.values.items():
        found = (measured.clusters.interval(values[metric]) for metric in SHOWN)
        lines.append(_line(name, *(each.text(100, 1) for each in found)))
    return "\n".join(lines)


def _differences(measured: Measured) -> str:
    lines = _head("search", "over", *(f"Δ{metric}" for metric in SHOWN))
    for name, baseline in measured.pairs:
        found = (measured.over(name, baseline, metric) for metric in SHOWN)
        lines.append(_line(name, baseline, *(_points(each) for each in found)))
    return "\n".join(lines)


def _head(*cells: str) -> list[str]:
    return [_line(*cells), "|---" * len(cells) + "|"]


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _points(difference: Interval) -> str:
    low, high = 100 * difference.low, 100 * difference.high
    return f"{100 * difference.mean:+.2f} [{low:+.2f}, {high:+.2f}]"
