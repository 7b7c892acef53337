"""The ONNX graph computes what BERT, mean pooling and L2 normalisation are defined to compute."""

import math

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from services.encoder.graph import Architecture, build
from services.encoder.names import MASK, SENTENCE, TOKEN_IDS, TOKENS
from tests.unit.encoder.tiny import SIZES, VOCABULARY, weights

Array = NDArray[np.float32]


def _run(
    model: onnx.ModelProto, ids: list[list[int]], mask: list[list[int]]
) -> tuple[Array, Array]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    feed = {TOKEN_IDS: np.array(ids, dtype=np.int64), MASK: np.array(mask, dtype=np.int64)}
    sentence, tokens = session.run([SENTENCE, TOKENS], feed)
    return sentence, tokens


def _normalise(x: Array, w: dict[str, Array], name: str) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + SIZES.epsilon)
    return np.asarray(scaled * w[f"{name}.weight"] + w[f"{name}.bias"], dtype=np.float32)


def _dense(x: Array, w: dict[str, Array], name: str) -> Array:
    return np.asarray(x @ w[f"{name}.weight"].T + w[f"{name}.bias"], dtype=np.float32)


def _gelu(x: Array) -> Array:
    erf = np.vectorize(math.erf)
    return np.asarray(x * 0.5 * (1 + erf(x / math.sqrt(2))), dtype=np.float32)


def _bert(w: dict[str, Array], ids: list[int]) -> tuple[Array, Array]:
    """BERT of one text, written from its definition, head by head."""
    x = w["embeddings.word_embeddings.weight"][ids]
    x = x + w["embeddings.position_embeddings.weight"][: len(ids)]
    x = x + w["embeddings.token_type_embeddings.weight"][0]
    x = _normalise(x, w, "embeddings.LayerNorm")
    size = SIZES.hidden // SIZES.heads
    for layer in range(SIZES.layers):
        name = f"encoder.layer.{layer}"
        q, k, v = (_dense(x, w, f"{name}.attention.self.{p}") for p in ("query", "key", "value"))
        heads = []
        for head in range(SIZES.heads):
            part = slice(head * size, (head + 1) * size)
            scores = np.exp(q[:, part] @ k[:, part].T / math.sqrt(size))
            heads.append(scores / scores.sum(axis=1, keepdims=True) @ v[:, part])
        mixed = _dense(np.concatenate(heads, axis=1), w, f"{name}.attention.output.dense")
        x = _normalise(mixed + x, w, f"{name}.attention.output.LayerNorm")
        wide = _gelu(_dense(x, w, f"{name}.intermediate.dense"))
        x = _normalise(_dense(wide, w, f"{name}.output.dense") + x, w, f"{name}.output.LayerNorm")
    mean = x.mean(axis=0)
    return mean / np.linalg.norm(mean), x


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return build(weights(), SIZES)


@pytest.mark.parametrize("ids", [[5], [1, 7, 2], [1, 9, 9, 30, 4, 2]], ids=["one", "three", "six"])
def test_the_graph_equals_bert_written_from_its_definition(
    model: onnx.ModelProto, ids: list[int]
) -> None:
    expected_sentence, expected_tokens = _bert(weights(), ids)

    sentence, tokens = _run(model, [ids], [[1] * len(ids)])

    np.testing.assert_allclose(sentence[0], expected_sentence, atol=2e-5)
    np.testing.assert_allclose(tokens[0], expected_tokens, atol=2e-4)


def test_every_sentence_vector_has_unit_length(model: onnx.ModelProto) -> None:
    sentence, _ = _run(model, [[1, 7, 2], [3, 4, 5]], [[1, 1, 1], [1, 1, 1]])

    np.testing.assert_allclose(np.linalg.norm(sentence, axis=1), 1.0, atol=1e-6)


def test_padding_changes_nothing(model: onnx.ModelProto) -> None:
    alone, alone_tokens = _run(model, [[1, 7, 2]], [[1, 1, 1]])

    padded, padded_tokens = _run(
        model, [[1, 7, 2, 0, 0], [1, 9, 9, 4, 2]], [[1, 1, 1, 0, 0], [1] * 5]
    )

    np.testing.assert_allclose(padded[0], alone[0], atol=1e-6)
    np.testing.assert_allclose(padded_tokens[0, :3], alone_tokens[0], atol=1e-5)


def test_equal_weights_give_equal_bytes(model: onnx.ModelProto) -> None:
    again = build(weights(), SIZES)

    assert again.SerializeToString(deterministic=True) == model.SerializeToString(
        deterministic=True
    )


def test_a_missing_tensor_is_named() -> None:
    incomplete = weights()
    del incomplete["encoder.layer.1.output.dense.bias"]

    with pytest.raises(KeyError, match=r"encoder\.layer\.1\.output\.dense\.bias"):
        build(incomplete, SIZES)


def test_a_text_longer_than_the_positions_fails_instead_of_repeating_one(
    model: onnx.ModelProto,
) -> None:
    length = SIZES.positions + 1

    with pytest.raises(Exception, match=r"(?i)shape|dimension|broadcast"):
        _run(model, [[1] * length], [[1] * length])


def test_the_default_architecture_is_that_of_minilm() -> None:
    sizes = Architecture()

    assert (sizes.hidden, sizes.heads, sizes.layers, sizes.positions) == (384, 12, 6, 256)
    assert len(VOCABULARY) == weights()["embeddings.word_embeddings.weight"].shape[0]
