"""A network beside another one: what only some queries have is added to what every query is judged by.

The new hidden units look at the new features alone and have no offset. Where those are all 0, as those of a
session are without one, they add exactly 0, so whoever has no session is answered as by the first network.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from services.reranker.descent import Parameters
from services.reranker.examples import Examples
from services.reranker.model import Mlp
from services.reranker.train import Recipe, Trained, Untrainable, answerable, descend, split

Array = NDArray[np.float32]


def train_beside(first: Trained, examples: Examples, recipe: Recipe) -> Trained:
    """Fit units on the features after the first network's; queries that have none of them teach nothing.

    Raises:
        Untrainable: too few clusters to hold some out, or no query with the new features has an answer.
    """
    known = len(first.network.means)
    having = np.flatnonzero(examples.features[..., known:].any(axis=(1, 2)))
    if not len(having):
        raise Untrainable("no query has the new features")
    picked = examples.pick(having)
    scales = _scales(picked, known)
    new = replace(
        picked,
        features=picked.features[..., known:] / scales,
        base=first.network.logits(picked.features[..., :known]),
    )
    members, losses = [], []
    for number in range(recipe.members):
        rng = np.random.default_rng(recipe.seed + number)
        fitting, holding = split(new, recipe.validation_share, rng)
        parameters, _, loss = descend(answerable(fitting), answerable(holding), recipe, rng)
        members.append(parameters)
        losses.append(loss)
    figures: dict[str, float | int | str] = {
        "examples": len(having),
        "answerable": int(picked.relevant.any(axis=1).sum()),
        "clusters": len(np.unique(picked.clusters)),
        "members": recipe.members,
        "seed": recipe.seed,
        "validation_loss": round(float(np.mean(losses)), 4),
    }
    return Trained(_beside(first.network, members, scales), first.calibration, figures)


def _scales(examples: Examples, known: int) -> Array:
    """Return the root mean square of each new feature: 0 stays 0, so no mean is taken off."""
    rows = examples.features[..., known:][examples.present].astype(np.float64)
    scales: Array = np.maximum(np.sqrt((rows**2).mean(axis=0)), 1e-6).astype(np.float32)
    return scales


def _beside(first: Mlp, members: list[Parameters], scales: Array) -> Mlp:
    """Return one network of both: the old units see the old features, the new ones the new."""
    new = np.concatenate([member.w1 for member in members], axis=1)
    w2 = np.concatenate([member.w2 for member in members]) / len(members)
    (known, old_units), (features, new_units) = first.w1.shape, new.shape
    w1 = np.zeros((known + features, old_units + new_units), dtype=np.float32)
    w1[:known, :old_units], w1[known:, old_units:] = first.w1, new
    return Mlp(
        means=np.concatenate([first.means, np.zeros(features, dtype=np.float32)]),
        scales=np.concatenate([first.scales, scales]),
        w1=w1,
        b1=np.concatenate([first.b1, np.zeros(new_units, dtype=np.float32)]),
        w2=np.concatenate([first.w2, w2.astype(np.float32)]),
        b2=first.b2,
    )
