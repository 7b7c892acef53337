"""Candidates made on the spot, and a component trained on a task that its features can solve."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.reranker.candidates import Candidates, from_signals
from services.reranker.component import Component, load_component, save_component
from services.reranker.descent import Schedule
from services.reranker.examples import Examples
from services.reranker.features import FeatureSetName, names
from services.reranker.model import Mlp
from services.reranker.train import Recipe
from trimtab.contracts.retrieve import Signals
from trimtab.contracts.tensor import Matrix

QUICK = Recipe(members=2, hidden=8, schedule=Schedule(epochs=20, batch=8, learning_rate=0.02))


def unit(rng: np.random.Generator, rows: int, dimension: int = 24) -> NDArray[np.float32]:
    vectors = rng.standard_normal((rows, dimension)).astype(np.float32)
    unit_rows: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit_rows


def row(values: Sequence[float] | NDArray[np.floating]) -> Matrix:
    return Matrix.of(np.asarray(values, dtype=np.float32).reshape(1, -1))


def make(
    fused: Sequence[float],
    *,
    cosine: Sequence[float] | None = None,
    bm25: Sequence[float] | None = None,
    maxsim: Sequence[float] | None = None,
    session: Sequence[float] | None = None,
    gram: NDArray[np.float32] | None = None,
    articles: Sequence[int] | None = None,
) -> Signals:
    """Return signals with only what a test is about; the rest says nothing."""
    count = len(fused)
    identity = np.eye(count, dtype=np.float32)
    return Signals(
        fused=row(fused),
        cosine=row(cosine if cosine is not None else [0.0] * count),
        bm25=row(bm25 if bm25 is not None else [0.0] * count),
        maxsim=None if maxsim is None else row(maxsim),
        gram=Matrix.of((gram if gram is not None else identity).astype(np.float16)),
        articles=list(articles if articles is not None else range(count)),
        session=None if session is None else row(session),
    )


def candidates(fused: Sequence[float], **rest: object) -> Candidates:
    return from_signals(make(fused, **rest))  # type: ignore[arg-type]


def drawn(
    seed: int, count: int, *, with_maxsim: bool = True, with_session: bool = False
) -> Signals:
    """Return plausible signals of ``count`` candidates, best fused score first."""
    rng = np.random.default_rng(seed)
    vectors = unit(rng, count)
    fused = np.sort(rng.random(count).astype(np.float32))[::-1]
    bm25 = np.where(rng.random(count) < 0.3, 0.0, rng.gamma(2.0, 2.0, count))
    return Signals(
        fused=row(fused),
        cosine=row(rng.uniform(-0.1, 0.9, count)),
        bm25=row(bm25),
        maxsim=row(rng.uniform(0.0, 0.9, count)) if with_maxsim else None,
        gram=Matrix.of((vectors @ vectors.T).astype(np.float16)),
        articles=rng.integers(0, max(1, count // 3), count).tolist(),
        session=row(rng.uniform(-0.1, 0.9, count)) if with_session else None,
    )


def solvable(queries: int = 120, count: int = 10, features: int = 4, seed: int = 5) -> Examples:
    """Return examples in which the relevant candidate has the greatest sum of two features."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((queries, count, features)).astype(np.float32)
    best = (values[..., 0] + values[..., 1]).argmax(axis=1)
    relevant = np.zeros((queries, count), dtype=np.bool_)
    relevant[np.arange(queries), best] = True
    return Examples(
        values,
        relevant,
        np.ones_like(relevant),
        np.arange(queries, dtype=np.int64) // 3,
    )


def component(
    folder: Path, feature_set: FeatureSetName = "full", reference: str = "mlp-test@1"
) -> Component:
    """Write and load a component with drawn weights."""
    rng = np.random.default_rng(3)
    inputs, hidden = len(names(feature_set)), 8
    network = Mlp(
        means=np.zeros(inputs, dtype=np.float32),
        scales=np.ones(inputs, dtype=np.float32),
        w1=rng.standard_normal((inputs, hidden)).astype(np.float32),
        b1=rng.standard_normal(hidden).astype(np.float32),
        w2=rng.standard_normal(hidden).astype(np.float32),
        b2=np.array(-1.0, dtype=np.float32),
    )
    save_component(folder / reference, reference, feature_set, network, {"seed": 3})
    return load_component(folder / reference)
