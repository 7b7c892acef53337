"""The figures of one run: every metric with its interval, over all queries and per cluster. Pure."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trimtab.evaluation.bootstrap import Clusters, Interval, paired
from trimtab.evaluation.metrics import METRICS, Values
from trimtab.evaluation.runs import Ranking, measured

_WORST = 10
"""Clusters named in a summary: those with the lowest R@5."""


@dataclass(frozen=True, slots=True)
class ClusterFigures:
    """One article or actor."""

    cluster: str
    """Its name."""
    queries: int
    """Of it."""
    means: dict[str, float]
    """Metric -> mean over its queries."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A run in numbers."""

    queries: int
    """How many."""
    figures: dict[str, Interval]
    """Metric -> mean over queries with its interval over clusters."""
    clusters: list[ClusterFigures]
    """Every named cluster, the worst R@5 first; larger ones first where that is equal."""

    def shape(self, *, whole: bool = False) -> dict[str, object]:
        """Return it for scripts; only the ten worst clusters unless ``whole``."""
        shown = self.clusters if whole else self.clusters[:_WORST]
        return {
            "queries": self.queries,
            "metrics": {name: figure.shape() for name, figure in self.figures.items()},
            "clusters": len(self.clusters),
            "worst" if not whole else "per_cluster": [
                {"cluster": each.cluster, "queries": each.queries, **each.means} for each in shown
            ],
        }


def summarise(run: Sequence[Ranking], seed: int) -> Summary:
    """Return the figures of a run with at least one query."""
    values = measured(run)
    names = [each.cluster for each in run]
    clusters = Clusters(names, seed)
    figures = {name: clusters.interval(values[name]) for name in METRICS}
    return Summary(len(run), figures, _by_cluster(names, values))


def differences(pairs: Sequence[tuple[Ranking, Ranking]], seed: int) -> dict[str, Interval]:
    """Return each metric's ``after - before`` over queries given as ``(before, after)``."""
    before, after = (measured([pair[side] for pair in pairs]) for side in (0, 1))
    clusters = Clusters([pair[0].cluster for pair in pairs], seed)
    return {name: paired(after[name], before[name], clusters) for name in METRICS}


def _by_cluster(clusters: Sequence[str], values: dict[str, Values]) -> list[ClusterFigures]:
    numbers: dict[str, list[int]] = defaultdict(list)
    for number, name in enumerate(clusters):
        if name:
            numbers[name].append(number)
    found = [
        ClusterFigures(
            name,
            len(rows),
            {metric: float(np.mean(values[metric][rows])) for metric in METRICS},
        )
        for name, rows in numbers.items()
    ]
    return sorted(found, key=lambda each: (each.means["R@5"], -each.queries, each.cluster))
