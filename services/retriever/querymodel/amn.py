"""``amn_v0``, the attention mixture network of runbook 5: one class for training and serving.

For a window x (n, d): baseline = mean of x; attention = softmax over positions of
``keys(x) . query(baseline) / sqrt(d_model)``; weighted = attention @ x; the output is baseline + MLP of
both, where the MLP is Linear, GELU, LayerNorm, Linear, GELU, LayerNorm, Linear. It has no positions, so
the order of the window changes nothing: it cannot tell forwards from backwards.
"""

from functools import partial
from typing import NamedTuple

import msgspec
import numpy as np

from services.retriever.querymodel.layers import (
    Array,
    Backward,
    Normed,
    Parameters,
    Weight,
    Width,
    gelu,
    layer_norm,
    layer_norm_back,
    linear,
    linear_back,
    linear_weights,
    norm_weights,
    softmax,
)


class AmnSize(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="amn_v0"):
    """Widths of the network."""

    dimension: Width
    """Of the vectors."""
    d_model: Width = 256
    """Of keys and query, and of the MLP's second layer."""
    hidden: Width = 512
    """Of the MLP's first layer."""

    def weights(self) -> dict[str, Weight]:
        """Return the network's parameters by name, as they are before training."""
        return {
            **linear_weights("keys", self.dimension, self.d_model),
            **linear_weights("query", self.dimension, self.d_model),
            **linear_weights("mlp1", 2 * self.dimension, self.hidden),
            **norm_weights("norm1", self.hidden),
            **linear_weights("mlp2", self.hidden, self.d_model),
            **norm_weights("norm2", self.d_model),
            **linear_weights("mlp3", self.d_model, self.dimension),
        }

    def network(self, parameters: Parameters) -> "Amn":
        """Return the network with these parameters."""
        return Amn(parameters)


class _Tape(NamedTuple):
    """What the backward needs of a forward; each (b, ...)."""

    x: Array
    baseline: Array
    keys: Array
    query: Array
    attention: Array
    both: Array
    slope1: Array
    normed1: Normed
    first: Array
    slope2: Array
    normed2: Normed
    second: Array


class Amn:
    """The network; holds nothing but its weights."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters

    def forward(self, x: Array) -> tuple[Array, Backward]:
        """Return raw outputs (b, d), not of unit length, for windows (b, n, d), and their backward."""
        p = self.parameters
        baseline = x.mean(axis=1, dtype=x.dtype)
        keys, query = linear(p, "keys", x), linear(p, "query", baseline)
        attention = softmax(np.einsum("bnm,bm->bn", keys, query) * self._temper(keys))
        weighted = np.einsum("bn,bnd->bd", attention, x)
        both = np.concatenate([baseline, weighted], axis=1)
        active1, slope1 = gelu(linear(p, "mlp1", both))
        first, normed1 = layer_norm(p, "norm1", active1)
        active2, slope2 = gelu(linear(p, "mlp2", first))
        second, normed2 = layer_norm(p, "norm2", active2)
        raw = baseline + linear(p, "mlp3", second)
        tape = _Tape(
            x,
            baseline,
            keys,
            query,
            attention,
            both,
            slope1,
            normed1,
            first,
            slope2,
            normed2,
            second,
        )
        return raw, partial(self._backward, tape)

    def _backward(self, tape: _Tape, back: Array) -> Parameters:
        p, into = self.parameters, Parameters()
        to_second = linear_back(p, "mlp3", tape.second, back, into)
        active2 = layer_norm_back(p, "norm2", tape.normed2, to_second, into)
        to_first = linear_back(p, "mlp2", tape.first, active2 * tape.slope2, into)
        active1 = layer_norm_back(p, "norm1", tape.normed1, to_first, into)
        to_both = linear_back(p, "mlp1", tape.both, active1 * tape.slope1, into)
        to_attention = np.einsum("bd,bnd->bn", to_both[:, tape.x.shape[2] :], tape.x)
        drift = (to_attention * tape.attention).sum(axis=1, keepdims=True)
        to_scores = tape.attention * (to_attention - drift) * self._temper(tape.keys)
        to_keys = to_scores[:, :, np.newaxis] * tape.query[:, np.newaxis, :]
        to_query = np.einsum("bn,bnm->bm", to_scores, tape.keys)
        linear_back(p, "keys", tape.x, to_keys, into)
        linear_back(p, "query", tape.baseline, to_query, into)
        return into

    def _temper(self, keys: Array) -> Array:
        temper: Array = np.asarray(1.0 / np.sqrt(keys.shape[-1]), dtype=keys.dtype)
        return temper
