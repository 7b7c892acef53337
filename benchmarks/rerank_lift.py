"""What reranking adds on queries that training never saw: ``python -m benchmarks.rerank_lift``.

Four collections: the held-out actors of ``attack``, the held-out articles of ``opsdocs``, both as one, and the
standard library, of which nothing was trained on. Every order is of the serving code: the dense list, the
BM25 list, the fused list that the reranker gets, and each shipped component's answer to it.

A component is fit to be the default when its R@5 is above the fused order's with 95 % confidence on the
held-out parts, together and each by itself, and not below it with that confidence where nothing was trained.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from benchmarks import arguments, report
from benchmarks.figure import Figure, percentile
from benchmarks.rerank_data import DataMissing, Task, mixed, tasks, unseen
from benchmarks.rerank_metrics import METRICS, Difference, Ranks, paired_difference
from benchmarks.rerank_pools import Pool, pools, serving_plan
from benchmarks.rerank_texts import Encoder
from benchmarks.rerank_train import COMPONENTS
from services.reranker.calibration import calibration_error
from services.reranker.component import SHIPPED, Component, load_component
from services.reranker.ranking import rank
from trimtab.contracts.retrieve import Signals

WITHOUT_MAXSIM = "without MaxSim"
_JUDGED = "R@5"


@dataclass(frozen=True, slots=True)
class Reranked:
    """What one component did with the pools of one collection."""

    ranks: Ranks
    """Of the right answers."""
    first_changed: float
    """Share of queries whose rank 1 changed: the runbook's acceptance rate, which expects 0.2 to 0.4."""
    first_score: float
    """Mean relevance given to rank 1; calibrated scores make it the share that is right."""
    first_error: float
    """How far that is from it, bin by bin: the expected calibration error of rank 1, 0..1."""
    took_ms: list[float]
    """Of each query: features, network and order."""


@dataclass(frozen=True, slots=True)
class Lift:
    """One collection's orders and what reranking adds to them."""

    task: str
    """Collection."""
    trained: bool
    """Whether other queries of this collection were trained on."""
    clusters: list[str]
    """Of each query."""
    orders: dict[str, Ranks]
    """Ranks of the right answers, by order; dense, BM25 and fused first."""
    reranked: dict[str, Reranked]
    """By component."""

    def over(self, name: str, baseline: str) -> Difference:
        """Return the difference in R@5 between two orders, as a share."""
        value = METRICS[_JUDGED]
        return paired_difference(
            value(self.orders[name]), value(self.orders[baseline]), self.clusters
        )


def rerank_all(
    found: Sequence[Pool], component: Component, *, with_maxsim: bool = True
) -> Reranked:
    """Answer every pool as the worker would."""
    ranks, took_ms, changed, scores = [], [], 0, []
    for pool in found:
        signals = _alone(pool.signals, with_maxsim=with_maxsim)
        started = time.perf_counter()
        reply = rank(signals, component).reply
        took_ms.append((time.perf_counter() - started) * 1000)
        ranks.append(reply.order.index(pool.relevant) + 1 if pool.relevant >= 0 else 0)
        changed += reply.first_changed
        scores.append(reply.scores[reply.order[0]])
    after = np.array(ranks, dtype=np.int64)
    error = calibration_error(np.array(scores, dtype=np.float32), after == 1)
    return Reranked(after, changed / len(found), float(np.mean(scores)), error, took_ms)


def measure(
    task: Task, found: Sequence[Pool], components: Sequence[Component], *, trained: bool
) -> Lift:
    """Rank the pools of one collection by everything there is."""
    orders = {
        "dense": np.array([pool.dense_rank for pool in found], dtype=np.int64),
        "BM25": np.array([pool.lexical_rank for pool in found], dtype=np.int64),
        "fused": np.array([pool.relevant + 1 for pool in found], dtype=np.int64),
    }
    reranked = {each.reference: rerank_all(found, each) for each in components}
    for each in components:
        if each.wants_maxsim:
            name = f"{each.reference} {WITHOUT_MAXSIM}"
            reranked[name] = rerank_all(found, each, with_maxsim=False)
    orders |= {name: result.ranks for name, result in reranked.items()}
    return Lift(task.name, trained, [pool.query.cluster for pool in found], orders, reranked)


def table(lift: Lift) -> str:
    """Return one collection's figures as a Markdown table, percent and percentage points."""
    lines = [
        f"| order | {' | '.join(METRICS)} | Δ{_JUDGED} over dense | Δ{_JUDGED} over fused |",
        "|---" * (len(METRICS) + 3) + "|",
    ]
    for name, ranks in lift.orders.items():
        values = " | ".join(f"{100 * metric(ranks).mean():.2f}" for metric in METRICS.values())
        over_dense = "" if name == "dense" else _points(lift.over(name, "dense"))
        over_fused = _points(lift.over(name, "fused")) if name in lift.reranked else ""
        lines.append(f"| {name} | {values} | {over_dense} | {over_fused} |")
    return "\n".join(lines)


def fit_to_be_default(lifts: Sequence[Lift], name: str) -> bool:
    """Judge a component by its R@5 over the fused order; the rule stands at the top of this file."""
    return all(
        lift.over(name, "fused").low > 0 if lift.trained else lift.over(name, "fused").high >= 0
        for lift in lifts
    )


def verdicts(lifts: Sequence[Lift], references: Sequence[str]) -> list[str]:
    """Return one line per component and one that names the default."""
    fit = [name for name in references if fit_to_be_default(lifts, name)]
    lines = [
        f"{name}: {'fit' if name in fit else 'NOT fit'} to be the default ("
        + "; ".join(f"{lift.task} {_points(lift.over(name, 'fused'))}" for lift in lifts)
        + f" pp {_JUDGED} over fused)"
        for name in references
    ]
    best = max(
        fit, key=lambda name: sum(lift.over(name, "fused").mean for lift in lifts), default=None
    )
    return [*lines, f"default: {best or 'none, the fused order stands'}"]


def _alone(signals: Signals, *, with_maxsim: bool) -> Signals:
    """Return the signals of a caller who asked nothing before."""
    late = signals.maxsim if with_maxsim else None
    return msgspec.structs.replace(signals, maxsim=late, session=None)


def _points(difference: Difference) -> str:
    return (
        f"{100 * difference.mean:+.2f} [{100 * difference.low:+.2f}, {100 * difference.high:+.2f}]"
    )


def _behaviour(lift: Lift) -> list[str]:
    return [
        f"- {name}: rank 1 changed for {100 * result.first_changed:.1f} %; its relevance "
        f"{result.first_score:.2f} on average, right {float((result.ranks == 1).mean()):.2f}, calibration error {result.first_error:.3f}; "
        f"p50 {percentile(result.took_ms, 0.5):.3f} ms, p95 {percentile(result.took_ms, 0.95):.3f} ms"
        for name, result in lift.reranked.items()
    ]


def _figures(lifts: Sequence[Lift]) -> list[Figure]:
    found = []
    for lift in lifts:
        for name in lift.reranked:
            for baseline in ("dense", "fused"):
                difference = lift.over(name, baseline)
                found.append(
                    Figure(
                        name=f"{lift.task}: {name} {_JUDGED} over {baseline}",
                        unit="pp",
                        value=100 * difference.mean,
                        low=100 * difference.low,
                        high=100 * difference.high,
                        rounds=1,
                        n=len(lift.clusters),
                    )
                )
    return found


def _lifts(queries: int) -> list[Lift]:
    learnt = tasks()
    encoder, plan = Encoder(), serving_plan().plan
    components = [load_component(SHIPPED / reference) for reference in COMPONENTS]
    lifts = []
    asked = [replace(task, test=task.test[:queries]) for task in (*learnt, unseen())]
    for task in (*asked, mixed(asked[: len(learnt)])):
        found = pools(task, "test", encoder, plan)
        lifts.append(measure(task, found, components, trained=task is not asked[-1]))
    return lifts


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables; 0 when done, 2 when the data is not there."""
    given = arguments.read("rerank_lift", __doc__, rounds=1, requests=10_000, argv=argv)
    machine = report.begin("rerank_lift")
    try:
        lifts = _lifts(given.requests)
    except DataMissing as missing:
        print(missing, file=sys.stderr)
        return 2
    for lift in lifts:
        kind = "held out" if lift.trained else "nothing of it trained on"
        size = f"{len(lift.clusters)} queries of {len(set(lift.clusters))} clusters"
        print(f"\n### {lift.task}: {size}, {kind}\n\n{table(lift)}\n")
        print("\n".join(_behaviour(lift)))
    notes = verdicts(lifts, list(COMPONENTS))
    done = report.Report(
        benchmark="rerank_lift",
        command=given.command,
        machine=machine,
        figures=_figures(lifts),
        notes=[*notes, "The spread is a 95 % interval, actors or articles resampled whole."],
    )
    report.show(done, given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
