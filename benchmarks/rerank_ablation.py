"""What each group of features is worth to the reranker: ``python -m benchmarks.rerank_ablation``.

One network per group, trained as the shipped ones are, on the training halves, each collection by itself and both
as one; R@5 on the test halves, whose actors and articles training never saw, beside the fused order that every
network got. The runbook's four alone come first.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks import arguments, report
from benchmarks.figure import Figure
from benchmarks.rerank_data import DataMissing, mixed, tasks, unseen
from benchmarks.rerank_metrics import METRICS, Difference, Ranks, paired_difference
from benchmarks.rerank_pools import Pool, pools, serving_plan
from benchmarks.rerank_texts import Encoder
from benchmarks.rerank_train import examples_of
from services.reranker.candidates import from_signals
from services.reranker.examples import Examples
from services.reranker.features import FEATURE_SETS, FeatureSetName, matrix, names
from services.reranker.model import Mlp
from services.reranker.train import Recipe, train

_FOUR = names("runbook4")
_PLACE = ("consensus", "article_support", "fused_level", "fused_rank", "cosine_rank")
_WORDS = ("bm25_level", "bm25_strength", "bm25_rank")
_LATE = ("maxsim", "maxsim_margin", "maxsim_rank", "has_maxsim")
_SESSION = ("session", "session_margin", "session_support", "has_session")

GROUPS: dict[str, tuple[str, ...]] = {
    "the runbook's four": _FOUR,
    "four + session": (*_FOUR, *_SESSION),
    "four + place in the list": (*_FOUR, *_PLACE),
    "four + BM25": (*_FOUR, *_WORDS),
    "four + MaxSim": (*_FOUR, *_LATE),
    "four + BM25 + MaxSim": (*_FOUR, *_WORDS, *_LATE),
    "all but MaxSim": (*_FOUR, *_PLACE, *_WORDS),
    "all: mlp-full": (*_FOUR, *_PLACE, *_WORDS, *_LATE),
    "all + session, trained as one": (*_FOUR, *_PLACE, *_WORDS, *_LATE, *_SESSION),
}
"""Names of features by group; one with a session's is judged with the simulated session."""

_JUDGED = "R@5"


@dataclass(frozen=True, slots=True)
class Judged:
    """What one group does on one collection."""

    ranks: Ranks
    """Of the right answers."""
    over: Difference
    """R@5 over the fused order, as a share."""


def source(group: Sequence[str]) -> FeatureSetName:
    """Return the declared feature set that a group is taken from."""
    return "session" if set(group) & set(_SESSION) else "full"


def trained(examples: Examples, feature_set: FeatureSetName, group: Sequence[str]) -> Mlp:
    """Return a network that was trained on some columns of a feature set's examples."""
    picked = replace(examples, features=examples.features[..., columns(feature_set, group)])
    return train(picked, Recipe()).network


def columns(feature_set: FeatureSetName, group: Sequence[str]) -> list[int]:
    """Return the places of features in a declared set."""
    return [names(feature_set).index(name) for name in group]


def judge(network: Mlp, found: Sequence[Pool], group: Sequence[str]) -> Judged:
    """Rank every pool by a network of one group."""
    feature_set = source(group)
    picked = columns(feature_set, group)
    ranks = []
    for pool in found:
        candidates = from_signals(pool.signals)
        logits = network.logits(matrix(candidates, feature_set)[:, picked])
        order = candidates.order[np.argsort(-logits[candidates.order], kind="stable")].tolist()
        ranks.append(order.index(pool.relevant) + 1 if pool.relevant >= 0 else 0)
    after = np.array(ranks, dtype=np.int64)
    before = np.array([pool.relevant + 1 for pool in found], dtype=np.int64)
    value = METRICS[_JUDGED]
    clusters = [pool.query.cluster for pool in found]
    return Judged(after, paired_difference(value(after), value(before), clusters))


def table(judged: dict[str, dict[str, Judged]]) -> str:
    """Return R@5 and its difference to the fused order, group by collection, as Markdown."""
    collections = list(next(iter(judged.values())))
    lines = [
        f"| features | {' | '.join(f'{each}: {_JUDGED}, Δ over fused' for each in collections)} |",
        "|---" * (len(collections) + 1) + "|",
    ]
    for group, found in judged.items():
        cells = [
            f"{100 * METRICS[_JUDGED](each.ranks).mean():.2f}, {_points(each.over)}"
            for each in found.values()
        ]
        lines.append(f"| {group} ({len(GROUPS[group])}) | {' | '.join(cells)} |")
    return "\n".join(lines)


def _points(difference: Difference) -> str:
    low, high = 100 * difference.low, 100 * difference.high
    return f"{100 * difference.mean:+.2f} [{low:+.2f}, {high:+.2f}]"


def _figures(judged: dict[str, dict[str, Judged]]) -> list[Figure]:
    return [
        Figure(
            name=f"{collection}: {group}, {_JUDGED} over fused",
            unit="pp",
            value=100 * each.over.mean,
            low=100 * each.over.low,
            high=100 * each.over.high,
            rounds=1,
            n=len(each.ranks),
        )
        for group, found in judged.items()
        for collection, each in found.items()
    ]


def _ablation(queries: int) -> dict[str, dict[str, Judged]]:
    learnt = [
        replace(task, train=task.train[:queries], test=task.test[:queries]) for task in tasks()
    ]
    both, other = mixed(learnt), unseen()
    searched = [*learnt, both, replace(other, test=other.test[:queries])]
    encoder, plan = Encoder(), serving_plan().plan
    taught = [pool for task in (*learnt, both) for pool in pools(task, "train", encoder, plan)]
    asked = {task.name: pools(task, "test", encoder, plan) for task in searched}
    examples: dict[FeatureSetName, Examples] = {
        name: examples_of(taught, name) for name in FEATURE_SETS if name != "runbook4"
    }
    judged: dict[str, dict[str, Judged]] = {}
    for name, group in GROUPS.items():
        print(f"training {name}", file=sys.stderr, flush=True)
        network = trained(examples[source(group)], source(group), group)
        judged[name] = {each: judge(network, found, group) for each, found in asked.items()}
    return judged


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 0 when done, 2 when the data is not there."""
    given = arguments.read("rerank_ablation", __doc__, rounds=1, requests=10_000, argv=argv)
    machine = report.begin("rerank_ablation")
    try:
        judged = _ablation(given.requests)
    except DataMissing as missing:
        print(missing, file=sys.stderr)
        return 2
    done = report.Report(
        benchmark="rerank_ablation",
        command=given.command,
        machine=machine,
        figures=_figures(judged),
        notes=[
            table(judged),
            "The spread is a 95 % interval, actors or articles resampled whole; the number of features stands in "
            "brackets. Groups with a session are judged with the simulated one.",
        ],
    )
    report.show(done, given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
