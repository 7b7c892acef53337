"""BERT and its masked-language head in plain NumPy, written from their definitions: what graphs are compared with."""

import math

import numpy as np
from numpy.typing import NDArray

from tests.unit.encoder.tiny import SIZES

Array = NDArray[np.float32]


def normalise(x: Array, w: dict[str, Array], name: str) -> Array:
    """Layer norm over the last axis."""
    centred = x - x.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + SIZES.epsilon)
    return np.asarray(scaled * w[f"{name}.weight"] + w[f"{name}.bias"], dtype=np.float32)


def dense(x: Array, w: dict[str, Array], name: str) -> Array:
    """A linear layer as published: (out, in) weights."""
    return np.asarray(x @ w[f"{name}.weight"].T + w[f"{name}.bias"], dtype=np.float32)


def gelu(x: Array) -> Array:
    """The exact one, by the error function."""
    erf = np.vectorize(math.erf)
    return np.asarray(x * 0.5 * (1 + erf(x / math.sqrt(2))), dtype=np.float32)


def bert(w: dict[str, Array], ids: list[int]) -> tuple[Array, Array]:
    """BERT of one text, written from its definition, head by head."""
    x = w["embeddings.word_embeddings.weight"][ids]
    x = x + w["embeddings.position_embeddings.weight"][: len(ids)]
    x = x + w["embeddings.token_type_embeddings.weight"][0]
    x = normalise(x, w, "embeddings.LayerNorm")
    size = SIZES.hidden // SIZES.heads
    for layer in range(SIZES.layers):
        name = f"encoder.layer.{layer}"
        q, k, v = (dense(x, w, f"{name}.attention.self.{p}") for p in ("query", "key", "value"))
        heads = []
        for head in range(SIZES.heads):
            part = slice(head * size, (head + 1) * size)
            scores = np.exp(q[:, part] @ k[:, part].T / math.sqrt(size))
            heads.append(scores / scores.sum(axis=1, keepdims=True) @ v[:, part])
        mixed = dense(np.concatenate(heads, axis=1), w, f"{name}.attention.output.dense")
        x = normalise(mixed + x, w, f"{name}.attention.output.LayerNorm")
        wide = gelu(dense(x, w, f"{name}.intermediate.dense"))
        x = normalise(dense(wide, w, f"{name}.output.dense") + x, w, f"{name}.output.LayerNorm")
    mean = x.mean(axis=0)
    return mean / np.linalg.norm(mean), x


def splade(w: dict[str, Array], ids: list[int]) -> Array:
    """Weights of all terms: log(1 + relu(logit)) of every token and term, the greatest over the tokens."""
    _, x = bert(w, ids)
    head = "cls.predictions"
    x = gelu(dense(x, w, f"{head}.transform.dense"))
    x = normalise(x, w, f"{head}.transform.LayerNorm")
    logits = x @ w["embeddings.word_embeddings.weight"].T + w[f"{head}.bias"]
    return np.asarray(np.log(1 + np.maximum(logits, 0)).max(axis=0), dtype=np.float32)
