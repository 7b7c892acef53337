"""From a corpus to an adapter, offline: two linear heads, then weights of all scores, then calibration.

The only module that imports scikit-learn. Weights and calibration are fitted on examples that the
heads did not see (folds of whole groups), so that they know how good each score is on new text.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from services.mapper import lexical
from services.mapper.adapter import (
    Adapter,
    Anchors,
    Array,
    Feature,
    Lexical,
    Linear,
    log_softmax,
    scores,
    softmax,
)
from services.mapper.calibration import IDENTITY, calibration_error, fit_isotonic
from services.mapper.corpus import Corpus, Indices, Texts, folds

_MISSING = "training needs scikit-learn: pip install 'trimtab[train]'"


class TrainingUnavailable(Exception):
    """scikit-learn is not installed; the message says how to get it."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train."""

    dense_strength: float = 10.0
    """Inverse regularisation of the head over vectors."""
    lexical_strength: float = 30.0
    """Inverse regularisation of the head over lexical features."""
    buckets: int = 4096
    """Hash buckets of the lexical features."""
    folds: int = 5
    """Splits for weights and calibration."""
    decay: float = 1e-3
    """Pull of the weights towards 0."""
    seed: int = 7
    """Of the splits."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """An adapter and how it went."""

    adapter: Adapter
    """Ready to save."""
    answers: int
    """Held-out answers behind weights and calibration."""
    accuracy: float
    """Share of held-out answers that were right."""
    error_before: float
    """Expected calibration error of the raw probabilities, held out."""
    error_after: float
    """The same after calibration by the other folds."""


def fit(corpus: Corpus, recipe: Recipe) -> Fitted:
    """Train an adapter.

    Raises:
        TrainingUnavailable: scikit-learn is not installed.
    """
    with _one_thread():
        return _fit(corpus, recipe)


def _one_thread() -> AbstractContextManager[object]:
    """Keep linear algebra on one thread.

    These matrices are small; spinning threads on a busy machine made training 7 times slower.
    """
    try:
        from threadpoolctl import (  # type: ignore[import-untyped]
            threadpool_limits,  # comes with scikit-learn
        )
    except ImportError:
        raise TrainingUnavailable(_MISSING) from None
    limits: AbstractContextManager[object] = threadpool_limits(1)
    return limits


def _fit(corpus: Corpus, recipe: Recipe) -> Fitted:
    table = np.zeros((len(corpus.groups), len(corpus.labels), len(Feature)), dtype=np.float32)
    splits = folds(corpus.groups, recipe.folds, recipe.seed)
    for seen, held in splits:
        heads = _heads(corpus.pick(seen), recipe)
        picked = corpus.examples.pick(held)
        table[held] = scores(heads, picked.vectors, picked.texts)
    targets = corpus.examples.labels
    raw, right = _held_out(table, targets, splits, recipe)
    adapter = replace(
        _heads(corpus, recipe),
        weights=_named(fit_weights(table, targets, recipe.decay)),
        calibration=fit_isotonic(raw, right),
    )
    return Fitted(
        adapter=adapter,
        answers=len(right),
        accuracy=float(right.mean()),
        error_before=calibration_error(raw, right),
        error_after=calibration_error(_cross_calibrated(raw, right, splits), right),
    )


def fit_weights(table: Array, targets: Indices, decay: float) -> Array:
    """Return the weights, not negative, that make the right label most probable (conditional logit).

    ``table`` is (n, labels, features); the loss is the mean negative log-likelihood plus
    ``decay`` times the squared weights.
    """
    from scipy.optimize import minimize  # type: ignore[import-untyped]  # comes with scikit-learn

    rows = np.arange(len(targets))
    own = table[rows, targets].astype(np.float64)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logs = log_softmax(table @ weights.astype(np.float32)).astype(np.float64)
        expected = np.einsum("nl,nlf->nf", np.exp(logs), table, optimize=True)
        slope = (expected - own).mean(axis=0) + 2 * decay * weights
        return float(-logs[rows, targets].mean() + decay * weights @ weights), slope

    start = np.full(table.shape[2], 0.2)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(start))
    return np.asarray(found.x, dtype=np.float32)


def _held_out(
    table: Array, targets: Indices, splits: list[tuple[Indices, Indices]], recipe: Recipe
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return raw confidence and rightness of each example, weighted by the other folds."""
    raw = np.zeros(len(targets))
    right = np.zeros(len(targets), dtype=bool)
    for seen, held in splits:
        weights = fit_weights(table[seen], targets[seen], recipe.decay)
        probabilities = softmax(table[held] @ weights)
        raw[held] = probabilities.max(axis=1)
        right[held] = probabilities.argmax(axis=1) == targets[held]
    return raw, right


def _cross_calibrated(
    raw: NDArray[np.float64], right: NDArray[np.bool_], splits: list[tuple[Indices, Indices]]
) -> NDArray[np.float64]:
    calibrated = np.zeros_like(raw)
    for seen, held in splits:
        calibrated[held] = fit_isotonic(raw[seen], right[seen])(raw[held])
    return calibrated


def _heads(corpus: Corpus, recipe: Recipe) -> Adapter:
    """Return an adapter with heads and anchors, without weights or calibration yet."""
    known = (corpus.examples, corpus.descriptions, corpus.aliases)
    texts = [text for part in known for text in part.texts]
    targets = np.concatenate([part.labels for part in known])
    idf = lexical.inverse_frequencies(texts, recipe.buckets)
    vectors = np.concatenate([part.vectors for part in known])
    count = len(corpus.labels)
    words = _linear(_hashed(texts, idf), targets, count, recipe.lexical_strength)
    return Adapter(
        labels=corpus.labels,
        dense=_linear(vectors, targets, count, recipe.dense_strength),
        words=Lexical(np.ascontiguousarray(words.weight.T), words.bias, idf),
        descriptions=_anchored(corpus.descriptions),
        aliases=_anchored(corpus.aliases),
        examples=_anchored(corpus.examples),
        weights=dict.fromkeys(Feature, 1.0),
        calibration=IDENTITY,
    )


def _anchored(texts: Texts) -> Anchors:
    return Anchors.of(texts.vectors, texts.labels)


def _hashed(texts: list[str], idf: Array) -> object:
    """Return the lexical features of all texts as one sparse matrix."""
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]  # comes with scikit-learn

    rows = [lexical.weighted(text, idf) for text in texts]
    starts = np.cumsum([0, *(len(places) for places, _ in rows)])
    values = np.concatenate([values for _, values in rows])
    places = np.concatenate([places for places, _ in rows])
    return csr_matrix((values, places, starts), shape=(len(texts), len(idf)), dtype=np.float32)


def _linear(inputs: object, targets: Indices, labels: int, strength: float) -> Linear:
    """Fit a multinomial logistic regression; every label has a description, so all occur."""
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise TrainingUnavailable(_MISSING) from None
    model = LogisticRegression(C=strength, tol=1e-3, max_iter=100).fit(inputs, targets)
    if len(model.classes_) != labels:
        raise ValueError("every label needs a description or an example")
    weight = np.ascontiguousarray(model.coef_, dtype=np.float32)
    return Linear(weight, model.intercept_.astype(np.float32))


def _named(weights: Array) -> Mapping[Feature, float]:
    return {feature: round(float(w), 6) for feature, w in zip(Feature, weights, strict=True)}
