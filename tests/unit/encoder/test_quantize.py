"""Smaller graphs stay close to the fp32 one, are scaled per output channel, and are made the same way twice."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

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
def test_every_matrix_has_one_scale_per_output_channel(
    fp32: onnx.ModelProto, quantize: Quantize, tmp_path: Path
) -> None:
    quantize(fp32, tmp_path / "model.onnx")

    tensors = onnx.load(tmp_path / "model.onnx").graph.initializer
    matrices = [t for t in tensors if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 2]
    widths = {tensor.dims[1] for tensor in matrices}
    scales = {t.dims[0] for t in tensors if t.name.endswith("scale") and len(t.dims) == 1}
    assert len(matrices) >= 4 * tiny.SIZES.layers
    assert widths <= scales


def test_the_largest_weight_of_a_channel_becomes_127(fp32: onnx.ModelProto, tmp_path: Path) -> None:
    int8_weights(fp32, tmp_path / "model.onnx")

    stored = {t.name: t for t in onnx.load(tmp_path / "model.onnx").graph.initializer}
    for name, tensor in stored.items():
        if name.endswith(".int8"):
            assert (np.abs(numpy_helper.to_array(tensor)).max(axis=0) == 127).all()


def test_quantising_says_nothing_in_the_log(
    fp32: onnx.ModelProto, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    level = logging.getLogger().level

    dynamic_int8(fp32, tmp_path / "model.onnx")

    assert caplog.records == []
    assert logging.getLogger().level == level
