"""What the mapping adapter is measured beside: each method maps held-out texts after seeing the rest."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from services.mapper import rules
from services.mapper.definitions.taxonomy import Taxonomy
from services.mapper.model.adapter import Adapter
from services.mapper.model.calibration import raw_confidence
from services.mapper.training.corpus import Corpus, Indices, Texts
from services.mapper.training.fit import Recipe, fit

Answers = tuple[Indices, NDArray[np.float64] | None]
"""(n, k) best labels of each text, and a probability that the first is right where the method has one."""

Method = Callable[[Corpus, Texts], dict[str, Answers]]

NEIGHBOURS = 10
HEAD, UNCALIBRATED = "adapter", "adapter, uncalibrated"

_RANKED = 3
_LEAST = 1e-3
"""Change at which logistic regressions stop: hundreds of labels would take hours to the last digit."""


def majority(seen: Corpus, held: Texts) -> Answers:
    """Always the labels with the most examples."""
    counts = np.bincount(seen.examples.labels, minlength=len(seen.labels))
    best = np.argsort(-counts, kind="stable")[:_RANKED]
    return np.tile(best, (len(held.texts), 1)), None


def rules_alone(taxonomy: Taxonomy, seen: Corpus, held: Texts) -> Answers:
    """The taxonomy's aliases, whole names only; ``OTHER.Unknown`` for the rest."""
    place = {name: index for index, name in enumerate(seen.labels)}
    found = [place[rules.apply(text, None, taxonomy).labels[0]] for text in held.texts]
    return np.array(found, dtype=np.int64)[:, np.newaxis], None


def nearest_description(seen: Corpus, held: Texts) -> Answers:
    """The labels whose descriptions are most similar (cosine)."""
    return seen.descriptions.labels[_ranked(held.vectors @ seen.descriptions.vectors.T)], None


def nearest_examples(seen: Corpus, held: Texts) -> Answers:
    """A vote of the nearest examples; equal votes go to the nearer ones."""
    similar = held.vectors @ seen.examples.vectors.T
    nearest = np.argsort(-similar, axis=1)[:, :NEIGHBOURS]
    votes = np.zeros((len(held.texts), len(seen.labels)))
    for column in range(nearest.shape[1]):
        rows, columns = np.arange(len(votes)), nearest[:, column]
        votes[rows, seen.examples.labels[columns]] += 1 + 1e-3 * similar[rows, columns]
    return _ranked(votes), np.minimum(votes.max(axis=1) / NEIGHBOURS, 1.0)


def words(seen: Corpus, held: Texts) -> Answers:
    """TF-IDF of words and word pairs of several texts with logistic regression, over examples.

    Single precision: hundreds of labels times all words of one text alone took 7 GB in double.
    """
    vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2, dtype=np.float32)
    model = LogisticRegression(C=30.0, max_iter=100, tol=_LEAST)
    model.fit(vectorizer.fit_transform(seen.examples.texts), seen.examples.labels)
    return _probable(model, vectorizer.transform(held.texts))


def margins(seen: Corpus, held: Texts, *, taxonomy: bool) -> Answers:
    """TF-IDF of words and letter groups with a linear SVC; with what the taxonomy says too, or not."""
    parts = (seen.examples, *seen.known) if taxonomy else (seen.examples,)
    texts = [text for part in parts for text in part.texts]
    vectorizers = [
        TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2),
        TfidfVectorizer(sublinear_tf=True, analyzer="char_wb", ngram_range=(3, 5), min_df=2),
    ]
    inputs = hstack([each.fit_transform(texts) for each in vectorizers]).tocsr()
    asked = hstack([each.transform(held.texts) for each in vectorizers]).tocsr()
    model = LinearSVC(C=0.5, tol=_LEAST)
    model.fit(inputs, np.concatenate([part.labels for part in parts]))
    return model.classes_[_ranked(model.decision_function(asked))], None


def embeddings(seen: Corpus, held: Texts, *, taxonomy: bool) -> Answers:
    """The encoder's vectors with logistic regression; with what the taxonomy says too, or not."""
    parts = (seen.examples, *seen.known) if taxonomy else (seen.examples,)
    model = LogisticRegression(C=10.0, max_iter=200, tol=_LEAST)
    model.fit(
        np.concatenate([part.vectors for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )
    return _probable(model, held.vectors)


@dataclass
class Head:
    """Our adapter; keeps what it trained last."""

    recipe: Recipe
    """How it is trained."""
    adapter: Adapter | None = None
    """The last one."""
    trained_s: float = 0.0
    """How long that took."""

    def __call__(self, seen: Corpus, held: Texts) -> dict[str, Answers]:
        """Answer as it is, and before its calibration."""
        started = time.perf_counter()
        adapter = self.adapter = fit(seen, self.recipe).adapter
        self.trained_s = time.perf_counter() - started
        logits = adapter.logits(held.vectors, held.texts)
        best, sure = _ranked(logits), adapter.calibration.confidence(logits)
        return {UNCALIBRATED: (best, raw_confidence(logits)), HEAD: (best, sure)}


def _probable(model: LogisticRegression, inputs: Any) -> Answers:
    probabilities = model.predict_proba(inputs)
    return model.classes_[_ranked(probabilities)], probabilities.max(axis=1)


def _ranked(scores: Any) -> Indices:
    """Return (n, k) places of the greatest scores of each row, greatest first."""
    return np.asarray(np.argsort(-scores, axis=1, kind="stable")[:, :_RANKED], dtype=np.int64)


def baselines(taxonomy: Taxonomy) -> list[Method]:
    """Return everything that the adapter is compared with; each answers under one name."""
    plain: dict[str, Callable[[Corpus, Texts], Answers]] = {
        "majority class": majority,
        "rules alone": partial(rules_alone, taxonomy),
        "nearest description": nearest_description,
        f"{NEIGHBOURS} nearest examples": nearest_examples,
        "TF-IDF + LR": words,
        "TF-IDF + linear SVC": partial(margins, taxonomy=False),
        "TF-IDF + linear SVC, taxonomy's texts too": partial(margins, taxonomy=True),
        "embeddings + LR": partial(embeddings, taxonomy=False),
        "embeddings + LR, taxonomy's texts too": partial(embeddings, taxonomy=True),
    }
    return [partial(_named, name, each) for name, each in plain.items()]


def _named(
    name: str, method: Callable[[Corpus, Texts], Answers], seen: Corpus, held: Texts
) -> dict[str, Answers]:
    return {name: method(seen, held)}
