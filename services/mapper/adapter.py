"""The mapping model, as numbers and numpy alone: retrieved candidates and a head over them. Pure.

Each label gets a few scores: log-probabilities of two linear heads (dense vector, lexical features)
and its similarity to the nearest description, alias and example ("candidates"). Fitted weights make
one logit of them, softmax a probability per label, and a calibration the confidence of the best.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from services.mapper import lexical
from services.mapper.calibration import Calibration

Array = NDArray[np.float32]

SHARPNESS = np.float32(10.0)
"""Cosines are multiplied by it, so that they move a softmax as much as log-probabilities do."""


class Feature(StrEnum):
    """One score per label; the order is the column order of :func:`scores`."""

    DENSE = "dense"
    LEXICAL = "lexical"
    DESCRIPTION = "description"
    ALIAS = "alias"
    EXAMPLE = "example"
    EXAMPLES = "examples"


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear softmax classifier."""

    weight: Array
    """(labels, inputs)."""
    bias: Array
    """(labels,)."""


@dataclass(frozen=True, slots=True)
class Lexical:
    """The same over hashed features of a text's words."""

    rows: Array
    """(buckets, labels): a text has few buckets, so only few rows are read."""
    bias: Array
    """(labels,)."""
    idf: Array
    """(buckets,) inverse document frequencies."""

    def logits(self, texts: Sequence[str]) -> Array:
        """Return (n, labels)."""
        found = [lexical.weighted(text, self.idf) for text in texts]
        return np.stack([values @ self.rows[places] + self.bias for places, values in found])


@dataclass(frozen=True, slots=True)
class Anchors:
    """Vectors of known meaning, sorted by label: what a text is compared with."""

    vectors: Array
    """(anchors, dimension), unit rows."""
    labels: NDArray[np.int64]
    """(anchors,) label index of each, rising."""

    @classmethod
    def of(cls, vectors: Array, labels: NDArray[np.int64]) -> "Anchors":
        """Sort the anchors by label."""
        order = np.argsort(labels, kind="stable")
        return cls(np.ascontiguousarray(vectors[order]), labels[order])


@dataclass(frozen=True, slots=True)
class Adapter:
    """Everything the model knows."""

    labels: tuple[str, ...]
    """Canonical labels, in index order."""
    dense: Linear
    """Over the encoder's vector."""
    words: Lexical
    """Over hashed TF-IDF features."""
    descriptions: Anchors
    """One per label."""
    aliases: Anchors
    """Zero or more per label."""
    examples: Anchors
    """One or more of most labels."""
    weights: Mapping[Feature, float]
    """How much each score counts, not negative."""
    calibration: Calibration
    """From the best label's probability to the confidence that it is right."""

    @property
    def dimension(self) -> int:
        """Of the vectors that it wants."""
        return int(self.descriptions.vectors.shape[1])

    def probabilities(self, vectors: Array, texts: Sequence[str]) -> Array:
        """Return (n, labels) probabilities of texts with their (n, dimension) unit vectors."""
        table = scores(self, vectors, texts)
        weights = np.array([self.weights[feature] for feature in Feature], dtype=np.float32)
        return softmax(table @ weights)

    def answer(self, vectors: Array, texts: Sequence[str]) -> list[tuple[str, float]]:
        """Return the best label of each text and the calibrated confidence that it is right, 0..1."""
        probabilities = self.probabilities(vectors, texts)
        best = probabilities.argmax(axis=1)
        raw = probabilities[np.arange(len(best)), best].astype(np.float64)
        confidence = self.calibration(raw)
        return [(self.labels[i], float(c)) for i, c in zip(best, confidence, strict=True)]


def scores(adapter: Adapter, vectors: Array, texts: Sequence[str]) -> Array:
    """Return (n, labels, features) scores in the order of :class:`Feature`."""
    count = len(adapter.labels)
    description = similarities(adapter.descriptions, vectors, count)[0]
    alias, _ = similarities(adapter.aliases, vectors, count, floor=description)
    example, examples = similarities(adapter.examples, vectors, count, floor=description)
    columns = {
        Feature.DENSE: log_softmax(vectors @ adapter.dense.weight.T + adapter.dense.bias),
        Feature.LEXICAL: log_softmax(adapter.words.logits(texts)),
        Feature.DESCRIPTION: description * SHARPNESS,
        Feature.ALIAS: alias * SHARPNESS,
        Feature.EXAMPLE: example * SHARPNESS,
        Feature.EXAMPLES: examples,
    }
    return np.stack([columns[feature] for feature in Feature], axis=2)


def similarities(
    anchors: Anchors, vectors: Array, labels: int, floor: Array | None = None
) -> tuple[Array, Array]:
    """Return per label the greatest cosine and the log of the mean of exp(SHARPNESS * cosine).

    A label without anchors takes ``floor``, or 0.
    """
    least = np.zeros((len(vectors), labels), dtype=np.float32) if floor is None else floor
    if not len(anchors.labels):
        return least, least * SHARPNESS
    present, starts = np.unique(anchors.labels, return_index=True)
    sizes = np.diff([*starts, len(anchors.labels)]).astype(np.float32)
    cosines = vectors @ anchors.vectors.T
    greatest, mean = least.copy(), least * SHARPNESS
    greatest[:, present] = np.maximum.reduceat(cosines, starts, axis=1)
    sums = np.add.reduceat(np.exp(SHARPNESS * cosines), starts, axis=1)
    mean[:, present] = np.log(sums / sizes)
    return greatest, mean


def log_softmax(logits: Array) -> Array:
    """Return the logarithm of :func:`softmax`."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)), np.float32)


def softmax(logits: Array) -> Array:
    """Return each row as probabilities."""
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True), np.float32)
