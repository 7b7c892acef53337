"""Trains the shipped rerankers: ``python -m benchmarks.rerank_train``.

Reads ``../shared/data``, lets the shipped encoder and retriever find the candidates of the training
queries, and writes ``services/reranker/components``. A few minutes on one core, most of it encoding;
encoded texts are kept, so the next run is shorter. The same machine and code give the same bytes.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.rerank_data import DataMissing, Task, tasks
from benchmarks.rerank_pools import POOL, Encoder, Pool, pools, serving_plan
from services.reranker import component
from services.reranker.candidates import Candidates, from_signals
from services.reranker.examples import Examples
from services.reranker.features import FEATURE_SETS, FeatureSetName, matrix, maxsim
from services.reranker.train import Recipe, Trained, train

COMPONENTS: dict[str, FeatureSetName] = {"mlp-runbook4@1": "runbook4", "mlp-full@1": "full"}
"""What is trained, and on which features."""


def examples_of(found: Sequence[Pool], feature_set: FeatureSetName) -> Examples:
    """Return the pools as features and labels; where MaxSim is a feature, each query with and without."""
    cases = list(_cases(found, feature_set))
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


def fit(found: Sequence[Pool], feature_set: FeatureSetName) -> Trained:
    """Train one network on candidates of training queries."""
    return train(examples_of(found, feature_set), Recipe())


def _cases(found: Sequence[Pool], feature_set: FeatureSetName) -> Iterator[tuple[Pool, Candidates]]:
    for pool in found:
        candidates = from_signals(pool.signals)
        yield pool, candidates
        if maxsim in FEATURE_SETS[feature_set]:
            yield pool, replace(candidates, maxsim=None)


def _write(out: Path, found: Sequence[Pool], learnt: Sequence[Task], encoder: Encoder) -> None:
    plan = serving_plan()
    for reference, feature_set in COMPONENTS.items():
        trained = fit(found, feature_set)
        training: dict[str, float | int | str] = {
            **trained.figures,
            "command": "python -m benchmarks.rerank_train",
            "data": ", ".join(f"{task.name} {len(task.train)}" for task in learnt),
            "encoder": encoder.component,
            "retriever": plan.component,
        }
        manifest = component.save_component(
            out / reference, reference, feature_set, trained.network, training
        )
        print(f"{reference}  {manifest.hash[:12]}  {trained.figures}")


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
    found = [pool for task in learnt for pool in pools(task, "train", encoder, plan.plan)]
    _write(out, found, learnt, encoder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
