"""The ONNX graph computes what BERT, mean pooling and L2 normalisation are defined to compute."""

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from services.encoder.graph import Architecture, build
from services.encoder.names import MASK, SENTENCE, TOKEN_IDS, TOKENS
from tests.unit.encoder.plain import bert
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


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return build(weights(), SIZES)


@pytest.mark.parametrize("ids", [[5], [1, 7, 2], [1, 9, 9, 30, 4, 2]], ids=["one", "three", "six"])
def test_the_graph_equals_bert_written_from_its_definition(
    model: onnx.ModelProto, ids: list[int]
) -> None:
    expected_sentence, expected_tokens = bert(weights(), ids)

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
