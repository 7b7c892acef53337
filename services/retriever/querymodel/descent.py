"""Fitting a query model to windows: mean squared error of the raw output, AdamW, a rate that halves on a plateau.

Deterministic by seed on one machine. The loss, the optimiser and every constant are runbook 5's.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from services.retriever.querymodel.component import Network, Size
from services.retriever.querymodel.layers import Parameters, draw
from services.retriever.querymodel.model import Vectors, unit
from services.retriever.querymodel.windows import Windows

_BETAS = (0.9, 0.999)
_EPSILON = 1e-8
_BETTER = 1e-4
"""Relative: a validation loss that falls by less counts as no better."""


class Untrainable(Exception):
    """There is nothing to learn from, or the loss is not a number; the message says which."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How to descend."""

    epochs: int = 20
    """Times that every window is seen."""
    seed: int = 7
    """Of the first weights and of the order of the windows."""
    batch: int = 32
    """Windows per step."""
    learning_rate: float = 5e-4
    """Of the first step."""
    weight_decay: float = 0.01
    """Decoupled (Loshchilov and Hutter, ICLR 2019), of every parameter."""
    clip: float = 1.0
    """Longest gradient, over all parameters."""
    patience: int = 3
    """Epochs without a better validation loss after which the rate is halved."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """How one epoch went."""

    number: int
    """From 1."""
    loss: float
    """Of training, mean over the epoch's steps."""
    validation_loss: float
    """Mean squared error of the raw outputs."""
    validation_cosine: float
    """Mean cosine of output and target."""
    learning_rate: float
    """During the epoch."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """The network of the epoch with the least validation loss."""

    network: Network
    """Its weights."""
    best: Epoch
    """That epoch."""
    epochs: list[Epoch]
    """All of them."""


class _AdamW:
    """Changes parameters in place, through one scratch row: new arrays would cost more than the arithmetic."""

    def __init__(self, parameters: Parameters, schedule: Schedule) -> None:
        self._parameters = parameters
        self._schedule = schedule
        self._first = {name: np.zeros_like(each) for name, each in parameters.items()}
        self._second = {name: np.zeros_like(each) for name, each in parameters.items()}
        self._scratch = np.empty(max(each.size for each in parameters.values()), dtype=np.float32)
        self._steps = 0

    def step(self, gradients: Parameters, rate: float) -> None:
        """Take one step along clipped gradients, which are used up."""
        self._steps += 1
        length = float(np.sqrt(sum(float(np.vdot(each, each)) for each in gradients.values())))
        shrink = min(1.0, self._schedule.clip / (length + 1e-6))
        pace = rate / (1.0 - _BETAS[0] ** self._steps)
        spread = float(np.sqrt(1.0 - _BETAS[1] ** self._steps))
        for name, gradient in gradients.items():
            now, first, second = self._parameters[name], self._first[name], self._second[name]
            scratch = self._scratch[: now.size].reshape(now.shape)
            gradient *= shrink
            first *= _BETAS[0]
            first += np.multiply(gradient, 1.0 - _BETAS[0], out=scratch)
            second *= _BETAS[1]
            gradient *= gradient
            second += np.multiply(gradient, 1.0 - _BETAS[1], out=scratch)
            np.sqrt(second, out=scratch)
            scratch /= spread
            scratch += _EPSILON
            np.divide(first, scratch, out=scratch)
            scratch *= pace
            now *= 1.0 - rate * self._schedule.weight_decay
            now -= scratch


def fit(
    size: Size,
    vectors: Vectors,
    windows: Windows,
    schedule: Schedule,
    report: Callable[[Epoch], None] = lambda epoch: None,
) -> Fitted:
    """Fit a new network of ``size`` to the training articles of ``windows``, rows of ``vectors``.

    Raises:
        Untrainable: there are no windows to train on or to validate with, or the loss is not a number.
    """
    taught, held = windows.part("train"), windows.part("validation")
    if not len(taught.rows) or not len(held.rows):
        raise Untrainable(
            f"{len(taught.rows)} windows to train on and {len(held.rows)} to validate with: too few"
            " articles of six consecutive passages"
        )
    rng = np.random.default_rng(schedule.seed)
    network = size.network(draw(size.weights(), rng))
    adam, rate, stalled = _AdamW(network.parameters, schedule), schedule.learning_rate, 0
    kept, best, least, epochs = dict[str, np.ndarray](), None, np.inf, list[Epoch]()
    for number in range(1, schedule.epochs + 1):
        loss = _epoch(network, adam, vectors, taught, schedule.batch, rate, rng)
        epoch = Epoch(number, loss, *validate(network, vectors, held), rate)
        epochs.append(epoch)
        report(epoch)
        if best is None or epoch.validation_loss < best.validation_loss:
            best, kept = epoch, {name: each.copy() for name, each in network.parameters.items()}
        stalled = 0 if epoch.validation_loss < least * (1.0 - _BETTER) else stalled + 1
        least = min(least, epoch.validation_loss)
        if stalled > schedule.patience:
            rate, stalled = rate / 2.0, 0
    if best is None or not np.isfinite(best.validation_loss):
        raise Untrainable("the loss is not a number; are the vectors finite?")
    return Fitted(size.network(kept), best, epochs)


def validate(network: Network, vectors: Vectors, windows: Windows) -> tuple[float, float]:
    """Return the mean squared error of the raw outputs and the mean cosine with the targets."""
    raw = outputs(network, vectors, windows)
    targets = vectors[windows.target]
    cosines = (unit(raw) * targets).sum(axis=1)
    return float(np.square(raw - targets).mean()), float(cosines.mean())


def outputs(network: Network, vectors: Vectors, windows: Windows, batch: int = 256) -> Vectors:
    """Return the raw output (n, dimension) for each window."""
    parts = [
        network.forward(vectors[windows.read[start : start + batch]])[0].astype(np.float32)
        for start in range(0, len(windows.rows), batch)
    ]
    return np.concatenate(parts)


def _epoch(
    network: Network,
    adam: _AdamW,
    vectors: Vectors,
    windows: Windows,
    batch: int,
    rate: float,
    rng: np.random.Generator,
) -> float:
    order, losses = rng.permutation(len(windows.rows)), []
    for start in range(0, len(order), batch):
        picked = order[start : start + batch]
        raw, backward = network.forward(vectors[windows.read[picked]])
        error = raw - vectors[windows.target[picked]]
        losses.append(float(np.square(error).mean()))
        adam.step(backward(error * error.dtype.type(2.0 / error.size)), rate)
    return float(np.mean(losses))
