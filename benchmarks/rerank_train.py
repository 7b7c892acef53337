"""Trains the shipped rerankers: ``python -m benchmarks.rerank_train``.

Reads ``../shared/data``, lets the shipped encoder and retriever find the candidates of the training
queries, each collection by itself and both as one, and writes ``services/reranker/components``. A few minutes on one core, most of it encoding;
encoded texts are kept, so the next run is shorter. The same machine and code give the same bytes.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.rerank_data import DataMissing, Task, mixed, tasks
from benchmarks.rerank_pools import POOL, Pool, pools, serving_plan
from benchmarks.rerank_texts import Encoder
from services.reranker import component
from services.reranker.calibration import calibration_error
from services.reranker.candidates import Candidates, from_signals
from services.reranker.descent import Schedule
from services.reranker.examples import Examples
from services.reranker.features import (
    FEATURE_SETS,
    Feature,
    FeatureSetName,
    matrix,
    maxsim,
    session,
)
from services.reranker.model import relevance
from services.reranker.residual import train_beside
from services.reranker.train import Recipe, Trained, train

COMPONENTS: dict[str, FeatureSetName] = {
    "mlp-runbook4@2": "runbook4",
    "mlp-full@2": "full",
    "mlp-session@1": "session",
}
"""What is trained, and on which features."""

EARLIER = ("mlp-runbook4@1", "mlp-full@1")
"""Shipped for the releases that name them; trained on each collection by itself, scores from each logit by itself."""

DEFAULT = "mlp-full@2"
"""The shipped release's."""

_BESIDE = Recipe(hidden=16, schedule=Schedule(epochs=30, biased=False))
_ASTRAY_EVERY = 3

Figures = dict[str, float | int | str]
"""For the model card."""


def examples_of(found: Sequence[Pool], feature_set: FeatureSetName) -> Examples:
    """Return the pools as features and labels, each query in every case that its features can meet.

    Every third query also meets a session about something else.
    """
    cases = [
        (pool, each)
        for number, pool in enumerate(found)
        for each in cases_of(pool, feature_set, astray=number % _ASTRAY_EVERY == 0)
    ]
    features = np.zeros((len(cases), POOL, len(FEATURE_SETS[feature_set])), dtype=np.float32)
    relevant = np.zeros(features.shape[:2], dtype=np.bool_)
    present = np.zeros_like(relevant)
    for row, (pool, candidates) in enumerate(cases):
        features[row, : candidates.count] = matrix(candidates, feature_set)
        present[row, : candidates.count] = True
        if pool.relevant >= 0:
            relevant[row, pool.relevant] = True
    _, clusters = np.unique([pool.query.cluster for pool, _ in cases], return_inverse=True)
    return Examples(features, relevant, present, clusters.astype(np.int64))


def cases_of(pool: Pool, feature_set: FeatureSetName, *, astray: bool) -> Iterator[Candidates]:
    """Yield a query's candidates as a worker may get them.

    With MaxSim and without it, with the caller's session and without any; ``astray`` also with one about
    something else. What a feature set does not look at is not varied.
    """
    found = replace(from_signals(pool.signals), session=None)
    late = [found, replace(found, maxsim=None)] if _uses(maxsim, feature_set) else [found]
    yield from late
    if not _uses(session, feature_set):
        return
    if pool.signals.session is not None:
        own = pool.signals.session.array()[0]
        yield from (replace(each, session=own) for each in late)
    if astray and pool.foreign is not None:
        yield replace(found, session=pool.foreign.array()[0])


def fit(found: Sequence[Pool]) -> dict[str, Trained]:
    """Train every component on candidates of training queries; the one with sessions beside the default."""
    made = {
        reference: train(examples_of(found, feature_set), Recipe())
        for reference, feature_set in COMPONENTS.items()
        if not _uses(session, feature_set)
    }
    for reference, feature_set in COMPONENTS.items():
        if _uses(session, feature_set):
            made[reference] = train_beside(made[DEFAULT], examples_of(found, feature_set), _BESIDE)
    return made


def calibration(trained: Trained, held_out: Sequence[Pool], feature_set: FeatureSetName) -> Figures:
    """Return how far the scores are from probabilities on queries of clusters that training never saw.

    Of all candidates, nearly all of which are far from right, and of the one put first; before and
    after the calibration.
    """
    examples = examples_of(held_out, feature_set)
    logits = np.where(examples.present, trained.network.logits(examples.features), -np.inf)
    ways = {"before": relevance(logits), "after": trained.calibration.relevance(logits)}
    figures: Figures = {"held_out": len(held_out)}
    rows = np.arange(len(logits)), logits.argmax(axis=1)
    for when, scores in ways.items():
        every = scores[examples.present], examples.relevant[examples.present]
        figures[f"ece_all_{when}"] = round(calibration_error(*every), 4)
        first = calibration_error(scores[rows], examples.relevant[rows])
        figures[f"ece_first_{when}"] = round(first, 4)
    return figures


def _uses(feature: Feature, feature_set: FeatureSetName) -> bool:
    return feature in FEATURE_SETS[feature_set]


def _write(
    out: Path,
    found: Sequence[Pool],
    held_out: Sequence[Pool],
    learnt: Sequence[Task],
    encoder: Encoder,
) -> None:
    plan = serving_plan()
    made = fit(found)
    for reference, feature_set in COMPONENTS.items():
        trained = made[reference]
        training: Figures = {
            **trained.figures,
            **calibration(trained, held_out, feature_set),
            "command": "python -m benchmarks.rerank_train",
            "data": ", ".join(f"{task.name} {len(task.train)}" for task in learnt) + ", and mixed",
            "encoder": encoder.component,
            "retriever": plan.component,
        }
        manifest = component.save_component(
            out / reference,
            reference,
            feature_set,
            trained.network,
            training,
            trained.calibration,
        )
        print(f"{reference}  {manifest.hash[:12]}  {training}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train and write; 0 when done, 2 when the data is not there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rerank_train", description=__doc__)
    parser.add_argument("--out", type=Path, default=component.SHIPPED, help="where to write")
    out = parser.parse_args(arguments).out
    try:
        learnt = tasks()
    except DataMissing as missing:
        print(missing, file=sys.stderr)
        return 2
    encoder, plan = Encoder(), serving_plan()
    # Each by itself and all in one collection: alone, the network learnt what one kind of text looks like.
    searched = [*learnt, mixed(learnt)]
    found = [pool for task in searched for pool in pools(task, "train", encoder, plan.plan)]
    held_out = [pool for task in learnt for pool in pools(task, "test", encoder, plan.plan)]
    _write(out, found, held_out, learnt, encoder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
