"""From labelled candidates to weights: listwise softmax, Adam, early stopping, calibration. Pure numpy.

Several networks are trained, each with its own validation clusters, and averaged: the average of
two-layer networks is one two-layer network with all their hidden units. Deterministic by seed on one
machine. Validation holds whole clusters (articles, actors), so it is text that training has not seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from services.reranker.calibration import Curve, fit
from services.reranker.descent import (
    Parameters,
    Schedule,
    adam,
    first_weights,
    forward,
    listwise_loss,
)
from services.reranker.examples import Examples
from services.reranker.model import Mlp

Array = NDArray[np.float32]


class Untrainable(Exception):
    """The examples teach nothing; the message says why."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train."""

    members: int = 4
    """Networks that are averaged."""
    hidden: int = 32
    """Hidden units of each."""
    schedule: Schedule = field(default_factory=Schedule)
    """How each is fitted; the epoch with the least validation loss is kept."""
    patience: int = 10
    """Epochs without a better validation loss after which fitting ends."""
    validation_share: float = 0.15
    """Of the clusters, drawn anew for each member."""
    seed: int = 7
    """Of the first member; the next ones count up."""


@dataclass(frozen=True, slots=True)
class Trained:
    """Weights and how it went."""

    network: Mlp
    """Ready to serve."""
    calibration: Curve
    """Makes relevance of its logits."""
    figures: dict[str, float | int | str]
    """For the model card."""


@dataclass(frozen=True, slots=True)
class _Member:
    parameters: Parameters
    epoch: int
    loss: float
    holding: Examples
    logits: Array
    """Of the examples that it held out."""


def train(examples: Examples, recipe: Recipe) -> Trained:
    """Fit a network that ranks the relevant candidate of a query above its others.

    Raises:
        Untrainable: too few clusters to hold some out, no relevant candidate among the examples, or
            nothing in the features that tells relevant candidates from others.
    """
    means, scales = _standard(answerable(examples))
    standard = replace(examples, features=(examples.features - means) / scales)
    members = [_member(standard, recipe, recipe.seed + number) for number in range(recipe.members)]
    figures: dict[str, float | int | str] = {
        "examples": len(examples.clusters),
        "answerable": int(examples.relevant.any(axis=1).sum()),
        "clusters": len(np.unique(examples.clusters)),
        "members": recipe.members,
        "seed": recipe.seed,
        "best_epochs": " ".join(str(member.epoch) for member in members),
        "validation_loss": round(float(np.mean([member.loss for member in members])), 4),
    }
    return Trained(_average(means, scales, members), _calibration(members), figures)


def _member(standard: Examples, recipe: Recipe, seed: int) -> _Member:
    rng = np.random.default_rng(seed)
    fitting, holding = split(standard, recipe.validation_share, rng)
    taught, checked = answerable(fitting), answerable(holding)
    best, epoch, loss = descend(taught, checked, recipe, rng)
    logits, _ = forward(best, holding.features)
    return _Member(best, epoch, loss, holding, logits)


def _calibration(members: Sequence[_Member]) -> Curve:
    """Return the curve of what the members said of examples that they had not seen."""
    held = [member.holding for member in members]
    curve = fit(
        np.concatenate([member.logits for member in members]),
        np.concatenate([each.relevant for each in held]),
        np.concatenate([each.present for each in held]),
    )
    if not curve.slope > 0.0:
        raise Untrainable("the features do not tell relevant candidates from others")
    return curve


def _average(means: Array, scales: Array, members: Sequence[_Member]) -> Mlp:
    """Return the network whose logit is the mean of the members' logits."""
    parts = [member.parameters for member in members]
    return Mlp(
        means=means,
        scales=scales,
        w1=np.concatenate([part.w1 for part in parts], axis=1),
        b1=np.concatenate([part.b1 for part in parts]),
        w2=(np.concatenate([part.w2 for part in parts]) / len(parts)).astype(np.float32),
        b2=np.array(0.0, dtype=np.float32),
    )


def split(examples: Examples, share: float, rng: np.random.Generator) -> tuple[Examples, Examples]:
    """Draw whole clusters to hold out; return the others and these.

    Raises:
        Untrainable: there are too few.
    """
    found = rng.permutation(np.unique(examples.clusters))
    kept = int(len(found) * share)
    if kept == 0:
        raise Untrainable(f"{len(found)} clusters are too few to hold out a share of {share}")
    holding = np.isin(examples.clusters, found[:kept])
    return examples.pick(np.flatnonzero(~holding)), examples.pick(np.flatnonzero(holding))


def answerable(examples: Examples) -> Examples:
    """Return the queries that have a relevant candidate.

    Raises:
        Untrainable: none has.
    """
    picked = examples.pick(np.flatnonzero(examples.relevant.any(axis=1)))
    if not len(picked.clusters):
        raise Untrainable("no query has a relevant candidate")
    return picked


def _standard(examples: Examples) -> tuple[Array, Array]:
    """Return mean and standard deviation of each feature; 1 for one that does not vary."""
    rows = examples.features[examples.present].astype(np.float64)
    spread = rows.std(axis=0)
    scales = np.where(spread > 1e-6, spread, 1.0)
    return rows.mean(axis=0).astype(np.float32), scales.astype(np.float32)


def descend(
    taught: Examples, checked: Examples, recipe: Recipe, rng: np.random.Generator
) -> tuple[Parameters, int, float]:
    """Return the parameters, number and validation loss of the best epoch."""
    best, best_epoch, least = None, 0, np.inf
    epochs = adam(
        first_weights(taught.features.shape[2], recipe.hidden, rng), taught, recipe.schedule, rng
    )
    for epoch, parameters in enumerate(epochs, start=1):
        loss, _ = listwise_loss(checked.added_to(forward(parameters, checked.features)[0]), checked)
        if loss < least:
            best, best_epoch, least = parameters, epoch, loss
        elif epoch - best_epoch >= recipe.patience:
            break
    if best is None:
        raise Untrainable("the loss is not a number; are the features finite?")
    return best, best_epoch, least
