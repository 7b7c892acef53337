"""Fitting a two-layer network to lists: the loss, its gradients, Adam. Pure numpy, deterministic by seed."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.reranker.examples import Examples

Array = NDArray[np.float32]

_BETAS = (0.9, 0.999)
_EPSILON = 1e-8
_MASKED = np.float32(-1e9)


@dataclass(frozen=True, slots=True)
class Parameters:
    """One member's weights: (f, h), (h,), (h,)."""

    w1: Array
    b1: Array
    w2: Array


@dataclass(frozen=True, slots=True)
class Schedule:
    """How to descend."""

    epochs: int = 60
    """Times that every query is seen, at most."""
    batch: int = 64
    """Queries per step."""
    learning_rate: float = 3e-3
    """The first step's; it falls towards 0 as half a cosine over all epochs."""
    weight_decay: float = 1e-3
    """Decoupled (Loshchilov and Hutter, ICLR 2019), of the first layer's matrix."""
    biased: bool = True
    """Whether hidden units have an offset; without one, features that are all 0 add exactly nothing."""


def listwise_loss(logits: Array, examples: Examples) -> tuple[float, Array]:
    """Return the mean of ``-log(softmax mass of the relevant candidates)`` and its gradient (q, n).

    Cross entropy over a list (Cao et al., ICML 2007); every query must have a relevant candidate.
    """
    masked = np.where(examples.present, logits, _MASKED)
    exponents = np.exp(masked - masked.max(axis=1, keepdims=True))
    shares = exponents / exponents.sum(axis=1, keepdims=True)
    hits = np.where(examples.relevant, shares, np.float32(0.0))
    mass = np.maximum(hits.sum(axis=1, keepdims=True), np.float32(1e-30))
    gradient = (shares - hits / mass) / np.float32(len(logits))
    return float(-np.log(mass).mean()), gradient


def first_weights(inputs: int, hidden: int, rng: np.random.Generator) -> Parameters:
    """Draw the first weights (He et al., ICCV 2015)."""
    w1 = rng.standard_normal((inputs, hidden)) * np.sqrt(2.0 / inputs)
    w2 = rng.standard_normal(hidden) * np.sqrt(1.0 / hidden)
    return Parameters(
        w1.astype(np.float32), np.zeros(hidden, dtype=np.float32), w2.astype(np.float32)
    )


def adam(
    start: Parameters, examples: Examples, schedule: Schedule, rng: np.random.Generator
) -> Iterator[Parameters]:
    """Yield the parameters after each epoch (Kingma and Ba, ICLR 2015).

    Every query must have a relevant candidate.
    """
    now = [start.w1, start.b1, start.w2]
    decay = [np.float32(schedule.weight_decay), np.float32(0.0), np.float32(0.0)]
    first = [np.zeros_like(each) for each in now]
    second = [np.zeros_like(each) for each in now]
    queries = len(examples.clusters)
    total = schedule.epochs * -(-queries // schedule.batch)
    step = 0
    for _ in range(schedule.epochs):
        order = rng.permutation(queries)
        for begin in range(0, queries, schedule.batch):
            batch = examples.pick(order[begin : begin + schedule.batch])
            slopes = list(gradients(Parameters(*now), batch))
            if not schedule.biased:
                slopes[1] = np.zeros_like(slopes[1])
            rate = schedule.learning_rate * 0.5 * (1.0 + np.cos(np.pi * step / total))
            step += 1
            for place, slope in enumerate(slopes):
                first[place] = _BETAS[0] * first[place] + (1.0 - _BETAS[0]) * slope
                second[place] = _BETAS[1] * second[place] + (1.0 - _BETAS[1]) * slope**2
                mean = first[place] / (1.0 - _BETAS[0] ** step)
                size = np.sqrt(second[place] / (1.0 - _BETAS[1] ** step)) + _EPSILON
                change = rate * (mean / size + decay[place] * now[place])
                now[place] = (now[place] - change).astype(np.float32)
        yield Parameters(*now)


def forward(parameters: Parameters, features: Array) -> tuple[Array, Array]:
    """Return (q, n) logits and (q, n, h) activations of standardised features."""
    active: Array = np.maximum(features @ parameters.w1 + parameters.b1, np.float32(0.0))
    logits: Array = active @ parameters.w2
    return logits, active


def gradients(parameters: Parameters, batch: Examples) -> tuple[Array, Array, Array]:
    """Return the loss's gradients by w1, b1 and w2."""
    logits, active = forward(parameters, batch.features)
    _, back = listwise_loss(batch.added_to(logits), batch)
    hidden = back[..., np.newaxis] * parameters.w2 * (active > 0)
    return (
        np.einsum("qnf,qnh->fh", batch.features, hidden, optimize=True),
        hidden.sum(axis=(0, 1)),
        np.einsum("qn,qnh->h", back, active, optimize=True),
    )
