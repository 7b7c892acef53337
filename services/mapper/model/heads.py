"""Linear heads over a text's vector or its lexical features, and the softmax of everybody's logits. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.mapper.model.network import Array, Bag


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear softmax classifier over vectors."""

    weight: Array
    """(labels, inputs)."""
    bias: Array
    """(labels,)."""

    def logits(self, vectors: Array) -> Array:
        """Return (n, labels)."""
        return vectors @ self.weight.T + self.bias


@dataclass(frozen=True, slots=True)
class Lexical:
    """The same over hashed features of a text's words."""

    rows: Array
    """(buckets, labels): a text has few buckets, so only few rows are read."""
    bias: Array
    """(labels,)."""

    def logits(self, bags: Sequence[Bag]) -> Array:
        """Return (n, labels)."""
        return np.stack([values @ self.rows[places] + self.bias for places, values in bags])


def log_softmax(logits: Array) -> Array:
    """Return the logarithm of :func:`softmax`."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)), np.float32)


def softmax(logits: Array) -> Array:
    """Return each row as probabilities."""
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True), np.float32)
