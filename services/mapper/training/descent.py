"""Fits a network by gradient descent, offline: softmax loss, dropout, and steps that touch only rows in use.

Adam (Kingma and Ba, ICLR 2015) moves the small parts; the rows of the lexical features, of which a
batch uses few, move by AdaGrad (Duchi et al., JMLR 2011) with one step size per row. The same numbers
come out for the same seed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.mapper.model.network import Array, Network

_ROW_PACE = 10.0
"""Rows move this much faster: each is touched seldom."""

_STEPS, _FEWEST = 64, 8
"""Few texts are taken in smaller batches, so that an epoch has this many steps, but none of fewer texts."""

Advance = Callable[[int, int], None]
"""``advance(done, of)``: epochs so far."""


@dataclass(frozen=True, slots=True)
class Training:
    """How a network is trained."""

    hidden: int = 512
    """Width of its hidden layer."""
    epochs: int = 10
    """Times that every text is seen."""
    batch: int = 256
    """Most texts per step."""
    pace: float = 3e-3
    """Step size at the start; it falls to 0 in a straight line."""
    dropout: float = 0.5
    """Share of the hidden layer that a step does without (Srivastava et al., JMLR 2014)."""
    word_dropout: float = 0.2
    """Share of a text's lexical features that a step does without."""
    smoothing: float = 0.1
    """Share of each target that is spread over all labels (Szegedy et al., CVPR 2016)."""
    decay: float = 1e-4
    """Pull of the output weights towards 0."""


@dataclass
class _Adam:
    """One array and its moments."""

    values: Array
    first: Array = field(init=False)
    second: Array = field(init=False)
    steps: int = 0

    def __post_init__(self) -> None:
        self.first = np.zeros_like(self.values)
        self.second = np.zeros_like(self.values)

    def step(self, slope: Array, pace: float) -> None:
        self.steps += 1
        self.first += 0.1 * (slope - self.first)
        self.second += 0.01 * (slope * slope - self.second)
        mean = self.first / (1 - 0.9**self.steps)
        spread = np.sqrt(self.second / (1 - 0.99**self.steps)) + 1e-8
        self.values -= np.float32(pace) * mean / spread


class _Descent:
    """A network in training."""

    def __init__(self, sizes: tuple[int, int, int], training: Training, seed: int) -> None:
        """``sizes`` are buckets, dimension and labels."""
        buckets, dimension, labels = sizes
        self.training, self.rng = training, np.random.default_rng(seed)
        hidden = training.hidden
        self.rows = 0.05 * self._normal(buckets, hidden)
        self.moved = np.full((buckets, 1), 1e-8, dtype=np.float32)
        self.dense = _Adam(self._normal(dimension, hidden) * np.float32(2 / np.sqrt(dimension)))
        self.bias = _Adam(np.zeros(hidden, dtype=np.float32))
        self.out = _Adam(self._normal(hidden, labels) / np.float32(np.sqrt(hidden)))
        self.out_bias = _Adam(np.zeros(labels, dtype=np.float32))

    def _normal(self, rows: int, columns: int) -> Array:
        return self.rng.standard_normal((rows, columns), dtype=np.float32)

    def step(self, bags: Any, vectors: Array, targets: NDArray[np.int64], pace: float) -> None:
        """Move by one batch; ``bags`` is a sparse (n, buckets) matrix of its own."""
        keep = 1.0 - self.training.word_dropout
        bags.data *= (self.rng.random(len(bags.data)) < keep).astype(np.float32) / np.float32(keep)
        before = bags @ self.rows + vectors @ self.dense.values + self.bias.values
        open_ = self._mask(before)
        hidden = before * open_
        slope = self._slope(hidden, targets)
        behind = (slope @ self.out.values.T) * open_
        self.out.step(hidden.T @ slope + self.training.decay * self.out.values, pace)
        self.out_bias.step(slope.sum(axis=0), pace)
        self.dense.step(vectors.T @ behind, pace)
        self.bias.step(behind.sum(axis=0), pace)
        self._move_rows(bags, behind, pace)

    def _mask(self, before: Array) -> Array:
        """Return what a unit's value is multiplied by: 0 below zero or dropped, else more than 1."""
        keep = 1.0 - self.training.dropout
        kept = self.rng.random(before.shape, dtype=np.float32) < keep
        return np.asarray((kept & (before > 0)) / np.float32(keep), dtype=np.float32)

    def _slope(self, hidden: Array, targets: NDArray[np.int64]) -> Array:
        """Return the derivative of the mean loss by the logits."""
        logits = hidden @ self.out.values + self.out_bias.values
        slope = np.exp(logits - logits.max(axis=1, keepdims=True))
        slope /= slope.sum(axis=1, keepdims=True)
        spread = self.training.smoothing
        slope -= spread / slope.shape[1]
        slope[np.arange(len(targets)), targets] -= 1 - spread
        return np.asarray(slope / len(targets), dtype=np.float32)

    def _move_rows(self, bags: Any, behind: Array, pace: float) -> None:
        used, places = np.unique(bags.indices, return_inverse=True)
        narrow = type(bags)((bags.data, places, bags.indptr), shape=(bags.shape[0], len(used)))
        slope = np.asarray(narrow.T @ behind, dtype=np.float32)
        self.moved[used] += (slope * slope).mean(axis=1, keepdims=True)
        self.rows[used] -= np.float32(pace * _ROW_PACE) * slope / np.sqrt(self.moved[used])

    def network(self) -> Network:
        """Return what was learnt."""
        parts = (self.dense, self.bias, self.out, self.out_bias)
        return Network(self.rows, *(np.ascontiguousarray(part.values) for part in parts))


def fit_network(
    bags: Any,
    vectors: Array,
    targets: NDArray[np.int64],
    labels: int,
    training: Training,
    seed: int,
    advance: Advance = lambda done, of: None,
) -> Network:
    """Train on (n, buckets) sparse bags and (n, dimension) unit vectors of the same texts."""
    sizes = (bags.shape[1], vectors.shape[1], labels)
    descent = _Descent(sizes, training, seed)
    batch = min(training.batch, max(_FEWEST, len(targets) // _STEPS))
    batches = -(-len(targets) // batch)
    for epoch in range(training.epochs):
        order = descent.rng.permutation(len(targets))
        for number, rows in enumerate(np.array_split(order, batches)):
            done = (epoch * batches + number) / (training.epochs * batches)
            pace = training.pace * (1 - done)
            descent.step(bags[rows], vectors[rows], targets[rows], pace)
        advance(epoch + 1, training.epochs)
    return descent.network()
