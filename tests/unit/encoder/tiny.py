"""A BERT so small that a test computes it by hand: two layers, hidden 16, random weights."""

import string

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from services.encoder.graph import Architecture

SIZES = Architecture(hidden=16, heads=4, layers=2, positions=12)

VOCABULARY = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *string.ascii_lowercase, "##a", "##b", "##c"]
"""Letters are the words that it knows."""


def weights() -> dict[str, NDArray[np.float32]]:
    """Return the tensors by their published names, the same ones each time."""
    rng = np.random.default_rng(7)

    def matrix(*shape: int) -> NDArray[np.float32]:
        return rng.normal(scale=0.4, size=shape).astype(np.float32)

    hidden, wide = SIZES.hidden, 4 * SIZES.hidden
    made = {
        "embeddings.word_embeddings.weight": matrix(len(VOCABULARY), hidden),
        "embeddings.position_embeddings.weight": matrix(32, hidden),
        "embeddings.token_type_embeddings.weight": matrix(2, hidden),
    }
    dense = {"attention.output.dense": (hidden, hidden), "intermediate.dense": (wide, hidden)}
    dense |= {f"attention.self.{part}": (hidden, hidden) for part in ("query", "key", "value")}
    dense |= {"output.dense": (hidden, wide)}
    norms = ["embeddings.LayerNorm"]
    for layer in range(SIZES.layers):
        prefix = f"encoder.layer.{layer}"
        for name, shape in dense.items():
            made[f"{prefix}.{name}.weight"] = matrix(*shape)
            made[f"{prefix}.{name}.bias"] = matrix(shape[0])
        norms += [f"{prefix}.attention.output.LayerNorm", f"{prefix}.output.LayerNorm"]
    for name in norms:
        made[f"{name}.weight"] = 1 + matrix(hidden)
        made[f"{name}.bias"] = matrix(hidden)
    return made


def tokenizer() -> Tokenizer:
    """Return a WordPiece tokenizer over the letters, cutting and padding by itself as published ones do."""
    vocabulary = {word: number for number, word in enumerate(VOCABULARY)}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    made.enable_truncation(4)
    made.enable_padding(length=6)
    return made
