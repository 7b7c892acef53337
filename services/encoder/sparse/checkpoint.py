"""A masked-language model from its published files: sizes, weights and vocabulary, checked, nothing executed.

Two architectures, those of the published SPLADE models: ``BertForMaskedLM`` and ``DistilBertForMaskedLM``. The
second differs by the names of its tensors and has no token types; it is renamed to the first.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from services.encoder.graph import Architecture
from services.encoder.tokenizer import TextTokenizer
from trimtab.artifacts.manifest import ArtifactCorrupt, ArtifactMissing, refuse_unsafe

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"

Weights = Mapping[str, NDArray[np.float32]]

_DISTIL = {
    "attention.q_lin": "attention.self.query",
    "attention.k_lin": "attention.self.key",
    "attention.v_lin": "attention.self.value",
    "attention.out_lin": "attention.output.dense",
    "sa_layer_norm": "attention.output.LayerNorm",
    "ffn.lin1": "intermediate.dense",
    "ffn.lin2": "output.dense",
    "output_layer_norm": "output.LayerNorm",
}
"""Names within a block: DistilBERT's -> BERT's."""

_DISTIL_HEAD = {
    "vocab_transform.": "cls.predictions.transform.dense.",
    "vocab_layer_norm.": "cls.predictions.transform.LayerNorm.",
    "vocab_projector.bias": "cls.predictions.bias",
    "vocab_projector.weight": "cls.predictions.decoder.weight",
}

_WORDS = "embeddings.word_embeddings.weight"
_TYPES = "embeddings.token_type_embeddings.weight"
_DECODER = "cls.predictions.decoder.weight"


class _Bert(msgspec.Struct, tag_field="model_type", tag="bert"):
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    max_position_embeddings: int
    vocab_size: int
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-12

    def sizes(self) -> Architecture:
        return Architecture(
            self.hidden_size,
            self.num_attention_heads,
            self.num_hidden_layers,
            self.max_position_embeddings,
            self.layer_norm_eps,
        )

    @property
    def activation(self) -> str:
        return self.hidden_act


class _Distil(msgspec.Struct, tag_field="model_type", tag="distilbert"):
    dim: int
    n_layers: int
    n_heads: int
    max_position_embeddings: int
    vocab_size: int
    activation: str = "gelu"

    def sizes(self) -> Architecture:
        return Architecture(self.dim, self.n_heads, self.n_layers, self.max_position_embeddings)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model as published, brought to one form."""

    sizes: Architecture
    """Of its transformer."""
    weights: Weights
    """f32, by BERT's names without the prefix ``bert.``; the head's begin with ``cls.predictions.``."""
    terms: int
    """Terms of its vocabulary."""
    vocabulary: str
    """sha256 of the vocabulary, 64 hex digits."""
    tokenizer: bytes
    """``tokenizer.json`` as it was."""


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read a folder with ``config.json``, ``model.safetensors`` and ``tokenizer.json``.

    Raises:
        ArtifactMissing: one of them is not there; pickles are not read in their place.
        ArtifactCorrupt: one does not parse, is of another architecture, or they do not fit each other.
    """
    for name in (CONFIG, WEIGHTS, TOKENIZER):
        if not (folder / name).is_file():
            raise ArtifactMissing(f"{folder.name}/{name}")
        refuse_unsafe(folder / name)
    config = _config(folder)
    try:
        tensors = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        problem = f"is no safetensors file ({type(error).__name__})"
        raise ArtifactCorrupt(folder.name, WEIGHTS, problem) from None
    weights = _named(tensors, config)
    _require_tied(folder, weights, config.vocab_size)
    return Checkpoint(
        config.sizes(),
        weights,
        config.vocab_size,
        vocabulary_hash(folder / TOKENIZER, config.vocab_size),
        (folder / TOKENIZER).read_bytes(),
    )


def vocabulary_hash(tokenizer: Path, terms: int) -> str:
    """Return the sha256 over the terms of a tokenizer in the order of their ids.

    Raises:
        ArtifactCorrupt: it is no tokenizer, or has ids at or above ``terms``.
    """
    found = TextTokenizer.load(tokenizer).vocabulary()
    if not found or max(found.values()) >= terms:
        problem = f"has terms beyond the {terms} of the model"
        raise ArtifactCorrupt(tokenizer.parent.name, tokenizer.name, problem)
    ordered = sorted(found, key=lambda term: found[term])
    return hashlib.sha256(msgspec.json.encode([terms, *ordered])).hexdigest()


def _config(folder: Path) -> _Bert | _Distil:
    try:
        config = msgspec.json.decode((folder / CONFIG).read_bytes(), type=_Bert | _Distil)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        problem = f"is not of a BERT or DistilBERT: {error}"
        raise ArtifactCorrupt(folder.name, CONFIG, problem) from None
    if config.activation != "gelu":
        problem = f"has the activation {config.activation}; only gelu is computed here"
        raise ArtifactCorrupt(folder.name, CONFIG, problem)
    return config


def _named(tensors: Weights, config: _Bert | _Distil) -> dict[str, NDArray[np.float32]]:
    distil = isinstance(config, _Distil)
    rename = _of_distilbert if distil else _of_bert
    named = {rename(name): tensor.astype(np.float32) for name, tensor in tensors.items()}
    if distil:
        named[_TYPES] = np.zeros((1, config.sizes().hidden), dtype=np.float32)
    return named


def _of_bert(name: str) -> str:
    return name.removeprefix("bert.")


def _of_distilbert(name: str) -> str:
    name = name.removeprefix("distilbert.")
    for old, new in _DISTIL_HEAD.items():
        if name.startswith(old):
            return new + name[len(old) :]
    if not name.startswith("transformer.layer."):
        return name
    _, _, number, rest = name.split(".", 3)
    part, _, kind = rest.rpartition(".")
    return f"encoder.layer.{number}.{_DISTIL.get(part, part)}.{kind}"


def _require_tied(folder: Path, weights: Weights, terms: int) -> None:
    words = weights.get(_WORDS)
    if words is None or len(words) != terms:
        found = 0 if words is None else len(words)
        problem = f"has {found} word vectors, {CONFIG} says {terms}"
        raise ArtifactCorrupt(folder.name, WEIGHTS, problem)
    decoder = weights.get(_DECODER, words)  # most files leave it out: it is the word vectors
    if decoder.shape != words.shape or not np.array_equal(decoder, words):
        problem = "has a decoder that is not its word vectors; only tied ones are computed here"
        raise ArtifactCorrupt(folder.name, WEIGHTS, problem)
