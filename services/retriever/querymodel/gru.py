"""``gru_v0``, the stacked GRU of runbook 5: one class for training and serving.

Linear(d, hidden), then blocks of {one-layer GRU forwards in time (Cho et al., EMNLP 2014), residual,
LayerNorm}, then Linear(hidden, d) of the last time step.
"""

from functools import partial
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta

from services.retriever.querymodel.layers import (
    Array,
    Backward,
    Normed,
    Parameters,
    Weight,
    Width,
    layer_norm,
    layer_norm_back,
    linear,
    linear_back,
    linear_weights,
    norm_weights,
    sigmoid,
)


class GruSize(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="gru_v0"):
    """Widths of the network."""

    dimension: Width
    """Of the vectors."""
    hidden: Width = 512
    """Of the state of every block."""
    blocks: Annotated[int, Meta(ge=1, le=32)] = 4
    """GRUs, one above the other."""

    def weights(self) -> dict[str, Weight]:
        """Return the network's parameters by name, as they are before training."""
        made = linear_weights("input", self.dimension, self.hidden)
        for block in range(self.blocks):
            for part in ("gates", "state"):
                made |= linear_weights(f"block{block}.{part}", self.hidden, 3 * self.hidden)
            made |= norm_weights(f"block{block}.norm", self.hidden)
        return made | linear_weights("output", self.hidden, self.dimension)

    def network(self, parameters: Parameters) -> "Gru":
        """Return the network with these parameters."""
        return Gru(parameters)


class _Step(NamedTuple):
    """One time step of one GRU; each (b, hidden)."""

    before: Array
    reset: Array
    update: Array
    candidate: Array
    recalled: Array


class _Block(NamedTuple):
    """One block; arrays are (b, n, hidden)."""

    inputs: Array
    steps: list[_Step]
    normed: Normed


class _Tape(NamedTuple):
    """What the backward needs of a forward."""

    x: Array
    blocks: list[_Block]
    top: Array


class Gru:
    """The network; holds nothing but its weights."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self._blocks = sum(name.endswith(".norm.bias") for name in parameters)

    def forward(self, x: Array) -> tuple[Array, Backward]:
        """Return raw outputs (b, d), not of unit length, for windows (b, n, d), and their backward."""
        p, blocks = self.parameters, []
        flow = linear(p, "input", x)
        for number in range(self._blocks):
            states, steps = self._run(number, flow)
            inputs = flow
            flow, normed = layer_norm(p, f"block{number}.norm", inputs + states)
            blocks.append(_Block(inputs, steps, normed))
        tape = _Tape(x, blocks, flow[:, -1])
        return linear(p, "output", tape.top), partial(self._backward, tape)

    def _backward(self, tape: _Tape, back: Array) -> Parameters:
        p, into = self.parameters, Parameters()
        to_flow = np.zeros_like(tape.blocks[-1].inputs)
        to_flow[:, -1] = linear_back(p, "output", tape.top, back, into)
        for number in reversed(range(self._blocks)):
            block = tape.blocks[number]
            to_sum = layer_norm_back(p, f"block{number}.norm", block.normed, to_flow, into)
            to_flow = to_sum + self._run_back(number, block, to_sum, into)
        linear_back(p, "input", tape.x, to_flow, into)
        return into

    def _run(self, number: int, inputs: Array) -> tuple[Array, list[_Step]]:
        """Return the states (b, n, hidden) of one GRU, and its steps."""
        p, name = self.parameters, f"block{number}"
        given = linear(p, f"{name}.gates", inputs)
        state = np.zeros_like(inputs[:, 0])
        states, steps = np.empty_like(inputs), []
        for time in range(inputs.shape[1]):
            kept = linear(p, f"{name}.state", state)
            reset_in, update_in, new_in = np.split(given[:, time], 3, axis=1)
            reset_kept, update_kept, recalled = np.split(kept, 3, axis=1)
            reset, update = sigmoid(reset_in + reset_kept), sigmoid(update_in + update_kept)
            candidate = np.tanh(new_in + reset * recalled)
            steps.append(_Step(state, reset, update, candidate, recalled))
            state = (1.0 - update) * candidate + update * state
            states[:, time] = state
        return states, steps

    def _run_back(self, number: int, block: _Block, to_states: Array, into: Parameters) -> Array:
        """Put one GRU's gradients ``into`` and return that of its inputs."""
        p, name = self.parameters, f"block{number}"
        batch, length, hidden = block.inputs.shape
        to_given = np.empty((batch, length, 3 * hidden), dtype=block.inputs.dtype)
        to_kept = np.empty_like(to_given)
        to_state = np.zeros_like(block.inputs[:, 0])
        for time in reversed(range(length)):
            step, arriving = block.steps[time], to_state + to_states[:, time]
            to_new = arriving * (1.0 - step.update) * (1.0 - np.square(step.candidate))
            to_update = (
                arriving * (step.before - step.candidate) * step.update * (1.0 - step.update)
            )
            to_reset = to_new * step.recalled * step.reset * (1.0 - step.reset)
            to_given[:, time] = np.concatenate([to_reset, to_update, to_new], axis=1)
            to_kept[:, time] = np.concatenate([to_reset, to_update, to_new * step.reset], axis=1)
            to_state = arriving * step.update + to_kept[:, time] @ p[f"{name}.state.weight"].T
        before = np.stack([step.before for step in block.steps], axis=1)
        linear_back(p, f"{name}.state", before, to_kept, into)
        return linear_back(p, f"{name}.gates", block.inputs, to_given, into)
