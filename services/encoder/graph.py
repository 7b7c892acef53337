"""Builds the MiniLM encoder as an ONNX graph from its weights, without torch.

The graph is the published architecture (BERT, 6 layers, hidden 384, 12 heads), mean pooling over the
attention mask and L2 normalisation inside the graph. Building is deterministic: equal weights give
equal bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from services.encoder.names import MASK, SENTENCE, TOKEN_IDS, TOKENS

_OPSET = 20
_IR_VERSION = 10
_MASKED = 10_000.0
"""Subtracted from the scores of padded tokens: exp(-10000) is 0 in every float format we run."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """Sizes of a BERT encoder; the defaults are those of all-MiniLM-L6-v2."""

    hidden: int = 384
    """Width of a token vector."""
    heads: int = 12
    """Attention heads; divide ``hidden``."""
    layers: int = 6
    """Transformer blocks."""
    positions: int = 256
    """Longest input, tokens: only so many position rows are kept."""
    epsilon: float = 1e-12
    """Of every layer norm."""


@dataclass(slots=True)
class Graph:
    """Collects nodes and initialisers; every method returns the name of what it made."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    """In an order in which they can run."""
    initializers: list[onnx.TensorProto] = field(default_factory=list)
    """Weights."""

    def constant(self, name: str, array: NDArray[Any]) -> str:
        """Add a weight."""
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def apply(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add a node of one output."""
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def linear(self, x: str, weight: NDArray[Any], bias: NDArray[Any], name: str) -> str:
        """``x @ weight + bias`` with ``weight`` as (in, out)."""
        product = self.apply(
            "MatMul", [x, self.constant(f"{name}.weight", weight)], f"{name}.product"
        )
        return self.apply("Add", [product, self.constant(f"{name}.bias", bias)], f"{name}.sum")

    def normalise(
        self, x: str, scale: NDArray[Any], bias: NDArray[Any], name: str, eps: float
    ) -> str:
        """Layer norm over the last axis."""
        inputs = [x, self.constant(f"{name}.scale", scale), self.constant(f"{name}.shift", bias)]
        return self.apply("LayerNormalization", inputs, f"{name}.out", axis=-1, epsilon=eps)


def build(
    weights: Mapping[str, NDArray[np.float32]], sizes: Architecture | None = None
) -> onnx.ModelProto:
    """Return the checked fp32 graph of the encoder.

    Args:
        weights: the tensors of ``model.safetensors`` by their published names, f32.
        sizes: the architecture; MiniLM's when None.

    Raises:
        KeyError: a tensor of the architecture is missing.
    """
    sizes = sizes or Architecture()
    graph = Graph()
    graph.apply("Identity", [transformer(graph, weights, sizes)], TOKENS)
    _pool(graph)
    outputs: dict[str, list[str | int]] = {
        SENTENCE: ["batch", sizes.hidden],
        TOKENS: ["batch", "tokens", sizes.hidden],
    }
    return model_of(graph, "minilm", outputs)


def transformer(
    graph: Graph, weights: Mapping[str, NDArray[np.float32]], sizes: Architecture
) -> str:
    """Add BERT's blocks and return the name of their output, (batch, tokens, hidden).

    ``MASK`` is in the graph as f32 ``mask`` afterwards, (batch, tokens).

    Raises:
        KeyError: a tensor of the architecture is missing.
    """
    x = _embed(graph, weights, sizes)
    bias = _mask_bias(graph)
    for layer in range(sizes.layers):
        x = _block(graph, weights, sizes, layer, x, bias)
    return x


def _embed(graph: Graph, weights: Mapping[str, NDArray[np.float32]], sizes: Architecture) -> str:
    """Word + position + token type 0 (the only type of a single text), then layer norm."""
    prefix = "embeddings"
    types = weights[f"{prefix}.token_type_embeddings.weight"][0]
    positions = weights[f"{prefix}.position_embeddings.weight"][: sizes.positions] + types
    words = graph.constant("words", weights[f"{prefix}.word_embeddings.weight"])
    word = graph.apply("Gather", [words, TOKEN_IDS], "word")
    length = graph.apply("Shape", [TOKEN_IDS], "length", start=1, end=2)
    zero = graph.constant("zero", np.array([0], dtype=np.int64))
    row = graph.apply(
        "Slice", [graph.constant("positions", positions), zero, length, zero], "position"
    )
    total = graph.apply("Add", [word, row], "embedded")
    norm = f"{prefix}.LayerNorm"
    return graph.normalise(
        total, weights[f"{norm}.weight"], weights[f"{norm}.bias"], norm, sizes.epsilon
    )


def _mask_bias(graph: Graph) -> str:
    """(batch, 1, 1, tokens): 0 where the mask is 1, -10000 where it is 0."""
    mask = graph.apply("Cast", [MASK], "mask", to=TensorProto.FLOAT)
    one = graph.constant("one", np.array(1.0, dtype=np.float32))
    inverted = graph.apply("Sub", [mask, one], "mask.inverted")
    scale = graph.constant("masked", np.array(_MASKED, dtype=np.float32))
    scaled = graph.apply("Mul", [inverted, scale], "mask.scaled")
    axes = graph.constant("mask.axes", np.array([1, 2], dtype=np.int64))
    return graph.apply("Unsqueeze", [scaled, axes], "mask.bias")


def _block(
    graph: Graph,
    weights: Mapping[str, NDArray[np.float32]],
    sizes: Architecture,
    layer: int,
    x: str,
    bias: str,
) -> str:
    """One transformer block, post-norm: attention, add, norm, feed-forward, add, norm."""
    prefix = f"encoder.layer.{layer}"
    context = _attention(graph, weights, sizes, prefix, x, bias)
    x = _residual(graph, weights, sizes, f"{prefix}.attention.output", context, x)
    inner = f"{prefix}.intermediate.dense"
    wide = graph.linear(x, weights[f"{inner}.weight"].T, weights[f"{inner}.bias"], inner)
    active = graph.apply("Gelu", [wide], f"{prefix}.gelu")
    return _residual(graph, weights, sizes, f"{prefix}.output", active, x)


def _residual(
    graph: Graph,
    weights: Mapping[str, NDArray[np.float32]],
    sizes: Architecture,
    name: str,
    x: str,
    skip: str,
) -> str:
    dense = graph.linear(
        x, weights[f"{name}.dense.weight"].T, weights[f"{name}.dense.bias"], f"{name}.dense"
    )
    added = graph.apply("Add", [dense, skip], f"{name}.added")
    norm = f"{name}.LayerNorm"
    return graph.normalise(
        added, weights[f"{norm}.weight"], weights[f"{norm}.bias"], norm, sizes.epsilon
    )


def _attention(
    graph: Graph,
    weights: Mapping[str, NDArray[np.float32]],
    sizes: Architecture,
    prefix: str,
    x: str,
    bias: str,
) -> str:
    """Multi-head attention; query, key and value are one product, 1/sqrt(head) folded into the query."""
    head = sizes.hidden // sizes.heads
    scale = np.float32(1.0 / np.sqrt(head))
    names = [f"{prefix}.attention.self.{part}" for part in ("query", "key", "value")]
    factors = (scale, np.float32(1.0), np.float32(1.0))
    weight = np.concatenate(
        [weights[f"{n}.weight"].T * f for n, f in zip(names, factors, strict=True)], axis=1
    )
    offset = np.concatenate([weights[f"{n}.bias"] * f for n, f in zip(names, factors, strict=True)])
    joined = graph.linear(x, weight, offset, f"{prefix}.qkv")
    parts = [f"{prefix}.{part}" for part in ("q", "k", "v")]
    graph.nodes.append(
        helper.make_node("Split", [joined], parts, name=f"{prefix}.split", axis=-1, num_outputs=3)
    )
    shape = graph.constant(f"{prefix}.heads", np.array([0, 0, sizes.heads, head], dtype=np.int64))
    turned = []
    for part, order in zip(parts, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True):
        split = graph.apply("Reshape", [part, shape], f"{part}.heads")
        turned.append(graph.apply("Transpose", [split], f"{part}.turned", perm=order))
    scores = graph.apply("MatMul", turned[:2], f"{prefix}.scores")
    masked = graph.apply("Add", [scores, bias], f"{prefix}.masked")
    shares = graph.apply("Softmax", [masked], f"{prefix}.shares", axis=-1)
    mixed = graph.apply("MatMul", [shares, turned[2]], f"{prefix}.mixed")
    back = graph.apply("Transpose", [mixed], f"{prefix}.back", perm=[0, 2, 1, 3])
    flat = graph.constant(f"{prefix}.flat", np.array([0, 0, sizes.hidden], dtype=np.int64))
    return graph.apply("Reshape", [back, flat], f"{prefix}.context")


def _pool(graph: Graph) -> None:
    """Mean over the mask's tokens, then unit length."""
    last = graph.constant("pool.last", np.array([-1], dtype=np.int64))
    first = graph.constant("pool.first", np.array([1], dtype=np.int64))
    column = graph.apply("Unsqueeze", ["mask", last], "pool.mask")
    kept = graph.apply("Mul", [TOKENS, column], "pool.kept")
    total = graph.apply("ReduceSum", [kept, first], "pool.total", keepdims=0)
    count = graph.apply("ReduceSum", ["mask", first], "pool.count", keepdims=1)
    mean = graph.apply("Div", [total, count], "pool.mean")
    length = graph.apply("ReduceL2", [mean, last], "pool.length", keepdims=1)
    graph.apply("Div", [mean, length], SENTENCE)


def model_of(graph: Graph, name: str, outputs: Mapping[str, list[str | int]]) -> onnx.ModelProto:
    """Return the checked model of token ids and mask, whose outputs are f32 of these shapes."""
    inputs = [
        helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "tokens"])
        for n in (TOKEN_IDS, MASK)
    ]
    made = [
        helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)
        for output, shape in outputs.items()
    ]
    body = helper.make_graph(graph.nodes, name, inputs, made, initializer=graph.initializers)
    model = helper.make_model(
        body,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="trimtab",
    )
    onnx.checker.check_model(model)
    return model
