"""Matrices travel as raw little-endian bytes and never as something else by surprise."""

from typing import Any

import numpy as np
import pytest

from trimtab.contracts.errors import InvalidMessage
from trimtab.contracts.message import decode, encode
from trimtab.contracts.tensor import Matrix


@pytest.mark.parametrize("dtype", ["<f4", "<f2", "i1"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 384), (0, 5)], ids=str)
def test_a_matrix_comes_back_bit_for_bit(dtype: str, shape: tuple[int, int]) -> None:
    array = np.random.default_rng(7).integers(-100, 100, shape).astype(dtype)

    back = decode(Matrix, encode(Matrix.of(array))).array()

    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


def test_a_view_that_is_not_contiguous_is_sent_row_major() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4).T

    np.testing.assert_array_equal(Matrix.of(array).array(), array)


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(np.zeros(3, np.float32), id="one dimension"),
        pytest.param(np.zeros((1, 2, 3), np.float32), id="three dimensions"),
        pytest.param(np.zeros((2, 2)), id="float64"),
        pytest.param(np.zeros((2, 2), ">f4"), id="big-endian"),
    ],
)
def test_what_the_wire_cannot_hold_is_refused_at_the_sender(array: Any) -> None:
    with pytest.raises(ValueError, match="expected 2-D"):
        Matrix.of(array)


@pytest.mark.parametrize("size", [0, 23, 25])
def test_bytes_that_do_not_fit_the_stated_shape_are_refused(size: int) -> None:
    with pytest.raises(InvalidMessage, match="needs 24 bytes"):
        Matrix(dtype="f32", rows=2, dim=3, data=b"\0" * size).array()


def test_a_received_matrix_cannot_be_written_to() -> None:
    array = Matrix.of(np.ones((1, 2), np.float32)).array()

    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 2


def test_a_dtype_that_is_not_declared_is_refused() -> None:
    body = encode(Matrix.of(np.ones((1, 1), np.float32))).replace(b"\xa3f32", b"\xa3f64")

    with pytest.raises(InvalidMessage, match="dtype"):
        decode(Matrix, body)
