"""The layers that query models are made of, forwards and backwards, in numpy. Pure; any float dtype.

A layer's forward returns its output and whatever its backward needs; weights are (inputs, outputs). The
gradients are checked against finite differences.
"""

from collections.abc import Callable
from typing import Annotated, NamedTuple, TypeAlias

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.floating]
Parameters: TypeAlias = dict[str, Array]
"""Weights by name; a layer named ``keys`` owns ``keys.weight`` and ``keys.bias``."""

Backward: TypeAlias = Callable[[Array], Parameters]
"""Gives the gradient of every parameter for that of the outputs (b, d)."""

Width = Annotated[int, Meta(ge=1, le=16384)]
"""How many numbers a layer gives."""

_LAYER_NORM_EPSILON = 1e-5
_ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
_ERF_P = 0.3275911


def linear(parameters: Parameters, name: str, x: Array) -> Array:
    """Return ``x @ weight + bias`` over the last axis."""
    weight = parameters[f"{name}.weight"]
    rows = (
        x.reshape(-1, x.shape[-1]) @ weight
    )  # one product; numpy would make one per leading index
    rows += parameters[f"{name}.bias"]
    return rows.reshape(*x.shape[:-1], weight.shape[1])


def linear_back(
    parameters: Parameters, name: str, x: Array, back: Array, into: Parameters
) -> Array:
    """Put the layer's gradients ``into`` and return that of ``x``."""
    rows, slopes = x.reshape(-1, x.shape[-1]), back.reshape(-1, back.shape[-1])
    into[f"{name}.weight"] = rows.T @ slopes
    into[f"{name}.bias"] = slopes.sum(axis=0)
    gradient: Array = slopes @ parameters[f"{name}.weight"].T
    return gradient.reshape(x.shape)


def gelu(x: Array) -> tuple[Array, Array]:
    """Return ``x * Phi(x)`` (Hendrycks and Gimpel, 2016) and its derivative.

    Phi by the error function of Abramowitz and Stegun 7.1.26: within 1.5e-7, float32's own precision.
    """
    scaled = np.abs(x) / np.sqrt(2.0).astype(x.dtype)
    t = 1.0 / (1.0 + _ERF_P * scaled)
    a1, a2, a3, a4, a5 = _ERF
    bell = np.exp(-np.square(scaled))
    tail = 0.5 * t * (a1 + t * (a2 + t * (a3 + t * (a4 + t * a5)))) * bell
    phi = np.where(x < 0, tail, 1.0 - tail)
    slope = phi + x * bell / np.sqrt(2.0 * np.pi).astype(x.dtype)
    return (x * phi).astype(x.dtype, copy=False), slope.astype(x.dtype, copy=False)


class Normed(NamedTuple):
    """What the backward of a layer norm needs."""

    standard: Array
    """Its input, standardised."""
    scale: Array
    """One over its standard deviation."""


def layer_norm(parameters: Parameters, name: str, x: Array) -> tuple[Array, Normed]:
    """Standardise the last axis, scale and shift it (Ba, Kiros and Hinton, 2016)."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    scale = 1.0 / np.sqrt(variance + _LAYER_NORM_EPSILON)
    standard = (centred * scale).astype(x.dtype, copy=False)
    return standard * parameters[f"{name}.weight"] + parameters[f"{name}.bias"], Normed(
        standard, scale
    )


def layer_norm_back(
    parameters: Parameters, name: str, tape: Normed, back: Array, into: Parameters
) -> Array:
    """Put the layer's gradients ``into`` and return that of its input."""
    axes = tuple(range(back.ndim - 1))
    into[f"{name}.weight"] = (back * tape.standard).sum(axis=axes)
    into[f"{name}.bias"] = back.sum(axis=axes)
    slope = back * parameters[f"{name}.weight"]
    along = (slope * tape.standard).mean(axis=-1, keepdims=True)
    gradient: Array = tape.scale * (
        slope - slope.mean(axis=-1, keepdims=True) - tape.standard * along
    )
    return gradient


def softmax(x: Array) -> Array:
    """Return the softmax of the last axis."""
    exponents = np.exp(x - x.max(axis=-1, keepdims=True))
    shares: Array = exponents / exponents.sum(axis=-1, keepdims=True)
    return shares


def sigmoid(x: Array) -> Array:
    """Return the logistic function, without overflow."""
    logistic: Array = 0.5 * (np.tanh(0.5 * x) + 1.0)
    return logistic


class Weight(NamedTuple):
    """What a parameter looks like before training."""

    shape: tuple[int, ...]
    """Of the array."""
    bound: float
    """Drawn uniformly from -bound to bound."""
    around: float = 0.0
    """Added to what is drawn."""


def linear_weights(name: str, inputs: int, outputs: int) -> dict[str, Weight]:
    """Return a linear layer's parameters: uniform within one over the root of its inputs."""
    bound = 1.0 / float(np.sqrt(inputs))
    return {
        f"{name}.weight": Weight((inputs, outputs), bound),
        f"{name}.bias": Weight((outputs,), bound),
    }


def norm_weights(name: str, width: int) -> dict[str, Weight]:
    """Return a layer norm's parameters: at first it changes nothing but scale and mean."""
    return {
        f"{name}.weight": Weight((width,), 0.0, around=1.0),
        f"{name}.bias": Weight((width,), 0.0),
    }


def draw(weights: dict[str, Weight], rng: np.random.Generator) -> Parameters:
    """Draw the first parameters, float32."""
    return {
        name: (weight.around + rng.uniform(-weight.bound, weight.bound, weight.shape)).astype(
            np.float32
        )
        for name, weight in weights.items()
    }
