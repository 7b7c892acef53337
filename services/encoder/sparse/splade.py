"""SPLADE as an ONNX graph: a masked-language model whose best logit of each term becomes the term's weight.

Formal, Lassance, Piwowarski and Clinchant, SPLADE v2 (2021): the weight of term j is the greatest, over all
tokens i of the text, of log(1 + relu(w_ij)), where w_ij are the logits of the masked-language head. The special
tokens around the text are tokens like the others; padding is none. The logarithm is taken of the greatest, which
is the same and shorter.
"""

from pathlib import Path

import numpy as np
import onnx

from services.encoder.graph import Graph, model_of, transformer
from services.encoder.names import TERMS
from services.encoder.sparse.checkpoint import Checkpoint, Weights

_PADDING = 10_000.0
"""Subtracted from the logits of padded tokens: relu makes 0 of what is left."""

_HEAD = "cls.predictions"


def write(checkpoint: Checkpoint, path: Path) -> None:
    """Write the graph, the same bytes for the same checkpoint; raises what :func:`build` does."""
    onnx.save(build(checkpoint), path)


def build(checkpoint: Checkpoint) -> onnx.ModelProto:
    """Return the checked fp32 graph: token ids and mask to (batch, terms) weights, >= 0.

    Raises:
        KeyError: a tensor of the architecture is missing.
    """
    graph, weights = Graph(), checkpoint.weights
    x = transformer(graph, weights, checkpoint.sizes)
    logits = _logits(graph, weights, _transformed(graph, weights, x, checkpoint.sizes.epsilon))
    _activate(graph, logits)
    return model_of(graph, "splade", {TERMS: ["batch", checkpoint.terms]})


def _transformed(graph: Graph, weights: Weights, x: str, epsilon: float) -> str:
    name = f"{_HEAD}.transform"
    dense = graph.linear(
        x, weights[f"{name}.dense.weight"].T, weights[f"{name}.dense.bias"], f"{name}.dense"
    )
    active = graph.apply("Gelu", [dense], f"{name}.gelu")
    scale, shift = weights[f"{name}.LayerNorm.weight"], weights[f"{name}.LayerNorm.bias"]
    return graph.normalise(active, scale, shift, f"{name}.LayerNorm", epsilon)


def _logits(graph: Graph, weights: Weights, x: str) -> str:
    """Inner products with the word vectors, which the embedding brought into the graph as ``words``."""
    turned = graph.apply("Transpose", ["words"], f"{_HEAD}.words", perm=[1, 0])
    products = graph.apply("MatMul", [x, turned], f"{_HEAD}.products")
    bias = graph.constant(f"{_HEAD}.bias", weights[f"{_HEAD}.bias"])
    return graph.apply("Add", [products, bias], f"{_HEAD}.logits")


def _activate(graph: Graph, logits: str) -> None:
    column = graph.apply(
        "Unsqueeze",
        ["mask.inverted", graph.constant("terms.last", np.array([-1], dtype=np.int64))],
        "terms.padding",
    )
    far = graph.constant("terms.far", np.array(_PADDING, dtype=np.float32))
    below = graph.apply("Mul", [column, far], "terms.below")
    kept = graph.apply("Add", [logits, below], "terms.kept")
    tokens = graph.constant("terms.tokens", np.array([1], dtype=np.int64))
    best = graph.apply("ReduceMax", [kept, tokens], "terms.best", keepdims=0)
    positive = graph.apply("Relu", [best], "terms.positive")
    one = graph.constant("terms.one", np.array(1.0, dtype=np.float32))
    raised = graph.apply("Add", [positive, one], "terms.raised")
    graph.apply("Log", [raised], TERMS)
