"""SPLADE checkpoints with small random weights, as folders of the files that are published."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from services.encoder.sparse.checkpoint import CONFIG, TOKENIZER, WEIGHTS
from tests.unit.encoder.tiny import SIZES, VOCABULARY, tokenizer, weights

Tensors = dict[str, NDArray[np.float32]]

BERT = {
    "model_type": "bert",
    "architectures": ["BertForMaskedLM"],
    "hidden_size": SIZES.hidden,
    "num_hidden_layers": SIZES.layers,
    "num_attention_heads": SIZES.heads,
    "max_position_embeddings": 32,
    "vocab_size": len(VOCABULARY),
    "hidden_act": "gelu",
    "layer_norm_eps": SIZES.epsilon,
}
DISTIL = {
    "model_type": "distilbert",
    "architectures": ["DistilBertForMaskedLM"],
    "dim": SIZES.hidden,
    "n_layers": SIZES.layers,
    "n_heads": SIZES.heads,
    "max_position_embeddings": 32,
    "vocab_size": len(VOCABULARY),
    "activation": "gelu",
}


def tensors() -> Tensors:
    """Return transformer and head by BERT's names, without the prefix."""
    rng = np.random.default_rng(11)
    hidden = SIZES.hidden

    def matrix(*shape: int) -> NDArray[np.float32]:
        return rng.normal(scale=0.4, size=shape).astype(np.float32)

    head = "cls.predictions"
    return weights() | {
        f"{head}.transform.dense.weight": matrix(hidden, hidden),
        f"{head}.transform.dense.bias": matrix(hidden),
        f"{head}.transform.LayerNorm.weight": 1 + matrix(hidden),
        f"{head}.transform.LayerNorm.bias": matrix(hidden),
        f"{head}.bias": matrix(len(VOCABULARY)),
    }


def bert(
    folder: Path, made: Tensors | None = None, config: Mapping[str, object] | None = None
) -> Path:
    """Write a ``BertForMaskedLM``; its decoder is in the file, as in some published ones."""
    named = {
        name if name.startswith("cls.") else f"bert.{name}": tensor
        for name, tensor in (made or tensors()).items()
    }
    if made is None:
        words = named["bert.embeddings.word_embeddings.weight"]
        named["cls.predictions.decoder.weight"] = words.copy()
    return _written(folder, BERT | dict(config or {}), named)


def distilbert(folder: Path) -> Path:
    """Write the same model without token types as a ``DistilBertForMaskedLM``."""
    named = {
        _distil(name): tensor for name, tensor in tensors().items() if "token_type" not in name
    }
    return _written(folder, DISTIL, named)


def _distil(name: str) -> str:
    inner = {
        "attention.self.query": "attention.q_lin",
        "attention.self.key": "attention.k_lin",
        "attention.self.value": "attention.v_lin",
        "attention.output.dense": "attention.out_lin",
        "attention.output.LayerNorm": "sa_layer_norm",
        "intermediate.dense": "ffn.lin1",
        "output.dense": "ffn.lin2",
        "output.LayerNorm": "output_layer_norm",
    }
    head = {
        "cls.predictions.transform.dense": "vocab_transform",
        "cls.predictions.transform.LayerNorm": "vocab_layer_norm",
        "cls.predictions": "vocab_projector",
    }
    stem, _, kind = name.rpartition(".")
    if stem in head:
        return f"{head[stem]}.{kind}"
    if stem.startswith("encoder.layer."):
        _, _, number, part = stem.split(".", 3)
        return f"distilbert.transformer.layer.{number}.{inner[part]}.{kind}"
    return f"distilbert.{name}"


def _written(folder: Path, config: dict[str, object], named: Tensors) -> Path:
    folder.mkdir(parents=True)
    (folder / CONFIG).write_text(json.dumps(config))
    save_file(named, folder / WEIGHTS)
    tokenizer().save(str(folder / TOKENIZER))
    return folder
