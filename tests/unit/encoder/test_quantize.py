"""Smaller graphs stay close to the fp32 one, are scaled per output channel, and are made the same way twice."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from services.encoder.graph import build
from services.encoder.names import MASK, SENTENCE, TOKEN_IDS
from services.encoder.quantize import dynamic_int8, int8_weights
from tests.unit.encoder import tiny

Quantize = Callable[[onnx.ModelProto, Path], None]

BOTH = pytest.mark.parametrize("quantize", [dynamic_int8, int8_weights], ids=lambda f: f.__name__)
TEXTS = [[1, 7, 2], [1, 9, 9, 30, 4, 2], [5, 6, 7, 8]]


@pytest.fixture(scope="module")
def fp32() -> onnx.ModelProto:
    return build(tiny.weights(), tiny.SIZES)


def _vectors(model: bytes) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    rows = []
    for ids in TEXTS:
        batch = np.array([ids], dtype=np.int64)
        rows.append(session.run([SENTENCE], {TOKEN_IDS: batch, MASK: np.ones_like(batch)})[0])
    return np.concatenate(rows)


@BOTH
def test_quantised_vectors_point_where_the_fp32_ones_do(
    fp32: onnx.ModelProto, quantize: Quantize, tmp_path: Path
) -> None:
    quantize(fp32, tmp_path / "model.onnx")

    exact = _vectors(fp32.SerializeToString())
    close = _vectors((tmp_path / "model.onnx").read_bytes())
    assert np.einsum("ij,ij->i", exact, close).min() > 0.98


@BOTH
def test_quantising_twice_gives_the_same_bytes(
    fp32: onnx.ModelProto, quantize: Quantize, tmp_path: Path
) -> None:
    quantize(fp32, tmp_path / "one.onnx")
    quantize(fp32, tmp_path / "two.onnx")

    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()


@BOTH
def test_the_graph_it_was_given_stays_as_it_was(
    fp32: onnx.ModelProto, quantize: Quantize, tmp_path: Path
) -> None:
    before = fp32.SerializeToString(deterministic=True)

    quantize(fp32, tmp_path / "model.onnx")

    assert fp32.SerializeToString(deterministic=True) == before


@BOTH
def test_every_matrix_has_one_scale_per_output_channel_and_words_one_each(
    fp32: onnx.ModelProto, quantize: Quantize, tmp_path: Path
) -> None:
    quantize(fp32, tmp_path / "model.onnx")

    stored = {t.name: t for t in onnx.load(tmp_path / "model.onnx").graph.initializer}
    small = {name.removesuffix(".int8"): t for name, t in stored.items() if name.endswith(".int8")}
    assert len(small) == 4 * tiny.SIZES.layers + 1
    for name, tensor in small.items():
        axis = 1 if name == "words" else 0
        array = numpy_helper.to_array(tensor)
        scale = numpy_helper.to_array(stored[f"{name}.scale"])
        assert array.dtype == np.int8
        assert scale.shape == (array.shape[1 - axis],)
        assert (np.abs(array).max(axis=axis) == 127).all()


def test_no_full_matrix_is_left_and_every_product_is_of_integers(
    fp32: onnx.ModelProto, tmp_path: Path
) -> None:
    dynamic_int8(fp32, tmp_path / "model.onnx")

    graph = onnx.load(tmp_path / "model.onnx").graph
    wide = [t.name for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT]
    matrices = [t.name for t in graph.initializer if t.name in wide and len(t.dims) == 2]
    kinds = [node.op_type for node in graph.node]
    assert matrices == ["positions"]
    assert kinds.count("MatMulInteger") == 4 * tiny.SIZES.layers
    assert kinds.count("MatMul") == 2 * tiny.SIZES.layers


def test_it_is_as_close_as_onnxruntimes_own_tool(fp32: onnx.ModelProto, tmp_path: Path) -> None:
    onnx.save(fp32, tmp_path / "fp32.onnx")
    quantize_dynamic(
        tmp_path / "fp32.onnx",
        tmp_path / "theirs.onnx",
        per_channel=True,
        weight_type=QuantType.QInt8,
    )
    dynamic_int8(fp32, tmp_path / "ours.onnx")

    exact = _vectors(fp32.SerializeToString())
    ours, theirs = (
        np.einsum("ij,ij->i", exact, _vectors((tmp_path / f"{name}.onnx").read_bytes()))
        for name in ("ours", "theirs")
    )
    assert ours.mean() > theirs.mean() - 0.002
