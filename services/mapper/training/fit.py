"""From a corpus to an adapter, offline: heads, then weights of all scores, then the calibration.

Weights and calibration are fitted on examples that the heads did not see (folds of whole groups), so
that they know how good each score is on new text. Needs scikit-learn and its scipy.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from services.mapper.model.adapter import Adapter, Feature, scores
from services.mapper.model.anchors import Anchors
from services.mapper.model.calibration import (
    IDENTITY,
    Calibration,
    Floats,
    Kind,
    brier,
    fit_kind,
    raw_confidence,
)
from services.mapper.model.heads import log_softmax
from services.mapper.model.held import HeldOut, tell
from services.mapper.model.network import Array
from services.mapper.training.bags import Bags, terms
from services.mapper.training.corpus import Corpus, Indices, Texts, folds
from services.mapper.training.descent import Training, fit_network

_MISSING = "training needs scikit-learn; pip install 'trimtab[train]'"
_AT_ONCE = 512
"""Texts that are scored together."""

Report = Callable[[str], None]


class Untrainable(Exception):
    """The examples teach nothing that could be held out; the message says what is missing."""


class TrainingUnavailable(Exception):
    """scikit-learn is not installed; the message says how to get it."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train."""

    network: Training = field(default_factory=Training)
    """Of the head over vectors and lexical features."""
    features: tuple[Feature, ...] = (
        Feature.DESCRIPTION,
        Feature.ALIAS,
        Feature.EXAMPLE,
        Feature.EXAMPLES,
        Feature.NETWORK,
        Feature.SENTENCE,
        Feature.TERMS,
    )
    """Scores that may count."""
    buckets: int = 16_384
    """Most lexical features that count."""
    folds: int = 5
    """Splits for weights and calibration."""
    candidates: int = 64
    """Labels of each example, its likeliest, that the weights are fitted on."""
    decay: float = 1e-3
    """Pull of the weights towards 0."""
    seed: int = 7
    """Of the splits and of the network."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """An adapter and how it went."""

    adapter: Adapter
    """Ready to save."""
    kind: Kind
    """Of its calibration: the one that did best on answers it had not seen."""
    held: HeldOut
    """How it did on examples that its heads, weights and calibration had not seen."""

    @property
    def errors(self) -> tuple[float, float]:
        """Expected calibration error before and after calibration, held out."""
        return self.held.errors["raw"], self.held.errors[self.kind]


def fit(corpus: Corpus, recipe: Recipe, report: Report = lambda line: None) -> Fitted:
    """Train an adapter.

    Raises:
        TrainingUnavailable: scikit-learn is not installed.
        Untrainable: all examples are of one group.
    """
    with _one_thread():
        return _fit(corpus, recipe, report)


def _one_thread() -> AbstractContextManager[object]:
    """Keep linear algebra on one thread.

    These matrices are small; spinning threads on a busy machine made training 7 times slower.
    """
    try:
        from threadpoolctl import (
            threadpool_limits,  # comes with scikit-learn
        )
    except ImportError:
        raise TrainingUnavailable(_MISSING) from None
    limits: AbstractContextManager[object] = threadpool_limits(1)
    return limits


def _fit(corpus: Corpus, recipe: Recipe, report: Report) -> Fitted:
    shape = (len(corpus.groups), len(corpus.labels), len(recipe.features))
    table = np.zeros(shape, dtype=np.float32)
    groups = len(np.unique(corpus.groups))
    if groups < 2:
        raise Untrainable("all examples are of one group; none can be held out: give two or more")
    splits = folds(corpus.groups, min(recipe.folds, groups), recipe.seed)
    counted = Bags.of([*corpus.examples.texts, *_known(corpus).texts])
    for number, (seen, held) in enumerate(splits, start=1):
        heads = _heads(corpus.pick(seen), counted.pick(_with_known(seen, corpus)), recipe)
        picked = corpus.examples.pick(held)
        for rows in np.array_split(np.arange(len(held)), -(-len(held) // _AT_ONCE)):
            some = picked.pick(rows)
            table[held[rows]] = scores(heads, some.vectors, some.texts)
        report(f"split {number} of {len(splits)} held out")
    targets = corpus.examples.labels
    logits = _held_out(table, targets, splits, recipe)
    kind, held_out = _judged(logits, targets, splits, corpus.detectors)
    report(f"{kind} calibration; training on everything")
    final = fit_weights(*narrowed(table, targets, recipe.candidates), recipe.decay)
    adapter = _heads(corpus, counted, recipe)
    calibration = fit_kind(kind, logits, targets)
    weights = dict(zip(recipe.features, final.tolist(), strict=True))
    return Fitted(_lean(adapter, weights, calibration), kind, held_out)


def fit_weights(table: Array, targets: Indices, decay: float) -> Array:
    """Return the weights, not negative, that make the right label most probable (conditional logit).

    ``table`` is (n, labels, features); the loss is the mean negative log-likelihood plus
    ``decay`` times the squared weights.
    """
    from scipy.optimize import minimize

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


def narrowed(table: Array, targets: Indices, candidates: int) -> tuple[Array, Indices]:
    """Return the likeliest labels of each row, the right one first among them, and where it stands."""
    rows = np.arange(len(targets))
    if candidates >= table.shape[1]:
        return table, targets
    total = table.sum(axis=2)
    total[rows, targets] = np.inf
    best = np.argpartition(-total, candidates - 1, axis=1)[:, :candidates]
    place = (best == targets[:, np.newaxis]).argmax(axis=1)
    best[rows, place] = best[:, 0]
    best[rows, 0] = targets
    return table[rows[:, np.newaxis], best], np.zeros(len(targets), dtype=np.int64)


def _held_out(
    table: Array, targets: Indices, splits: list[tuple[Indices, Indices]], recipe: Recipe
) -> Array:
    """Return (n, labels) logits of each example, weighted by what the other folds say."""
    logits = np.zeros(table.shape[:2], dtype=np.float32)
    for seen, held in splits:
        narrow = narrowed(table[seen], targets[seen], recipe.candidates)
        logits[held] = table[held] @ fit_weights(*narrow, recipe.decay)
    return logits


def _judged(
    logits: Array,
    targets: Indices,
    splits: list[tuple[Indices, Indices]],
    detectors: Sequence[str] = (),
) -> tuple[Kind, HeldOut]:
    """Return the kind of calibration that does best on answers it has not seen, and how all went."""
    right = logits.argmax(axis=1) == targets
    confidence: dict[str, Floats] = {"raw": raw_confidence(logits)}
    for kind in Kind:
        confidence[kind] = np.zeros(len(targets))
        for seen, held in splits:
            fitted = fit_kind(kind, logits[seen], targets[seen])
            confidence[kind][held] = fitted.confidence(logits[held])
    chosen = min(Kind, key=lambda kind: brier(confidence[kind], right))
    better = (logits > logits[np.arange(len(targets)), targets][:, np.newaxis]).sum(axis=1)
    return chosen, tell(right, better < 3, confidence, chosen, detectors)


def _heads(corpus: Corpus, counted: Bags, recipe: Recipe) -> Adapter:
    """Return an adapter with heads and anchors, without fitted weights or calibration yet.

    ``counted`` are the bags of the examples, then of all that the taxonomy says.
    """
    examples, known, count = corpus.examples, _known(corpus), len(corpus.labels)
    targets = np.concatenate([examples.labels, known.labels])
    lexicon = counted.lexicon(targets, count, recipe.buckets)
    bags = counted.weighted(lexicon)
    vectors = np.concatenate([examples.vectors, known.vectors])
    network = fit_network(bags, vectors, targets, count, recipe.network, recipe.seed)
    return Adapter(
        labels=corpus.labels,
        lexicon=lexicon,
        descriptions=_anchored(corpus.descriptions),
        aliases=_anchored(corpus.aliases),
        examples=_anchored(examples),
        weights=dict.fromkeys(recipe.features, 1.0),
        calibration=IDENTITY,
        network=network,
        sentences=_anchored(corpus.sentences),
        terms=terms(bags[len(examples.labels) :], known.labels, count),
    )


def _lean(adapter: Adapter, weights: Mapping[Feature, float], calibration: Calibration) -> Adapter:
    """Return the adapter without the parts whose score got no weight."""
    kept = {feature: round(weight, 6) for feature, weight in weights.items() if weight > 0}
    none = Anchors(adapter.examples.vectors[:0], adapter.examples.labels[:0])
    return replace(
        adapter,
        weights=kept,
        calibration=calibration,
        examples=adapter.examples if {Feature.EXAMPLE, Feature.EXAMPLES} & set(kept) else none,
        network=adapter.network if Feature.NETWORK in kept else None,
        sentences=adapter.sentences if Feature.SENTENCE in kept else None,
        terms=adapter.terms if Feature.TERMS in kept else None,
    )


def _known(corpus: Corpus) -> Texts:
    """Return all that the taxonomy says as one."""
    parts = corpus.known
    return Texts(
        tuple(text for part in parts for text in part.texts),
        np.concatenate([part.vectors for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )


def _with_known(rows: Indices, corpus: Corpus) -> Indices:
    """Return the rows of some examples and of all that the taxonomy says, among all texts."""
    known = sum(len(part.texts) for part in corpus.known)
    return np.concatenate([rows, len(corpus.groups) + np.arange(known)])


def _anchored(texts: Texts) -> Anchors:
    return Anchors.of(texts.vectors, texts.labels)
