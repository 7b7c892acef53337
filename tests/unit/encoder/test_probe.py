"""A model that does not make the vectors of its namespace is stopped before its first request."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from services.encoder.probe import REFERENCES, TEXTS, ProbeFailed, off_unit, prove, row_norms
from services.encoder.spec import MINILM
from tests.unit.encoder.twin import Twin
from trimtab.contracts.errors import DimensionMismatch


class _HalfAsWide(Twin):
    """Declares 8 dimensions and makes 4."""

    def vector(self, ids: Sequence[int]) -> NDArray[np.float32]:
        return np.full(4, 0.5, dtype=np.float32)


def test_another_dimension_than_declared_is_refused() -> None:
    with pytest.raises(DimensionMismatch) as refusal:
        prove(_HalfAsWide())

    assert (refusal.value.dimension, refusal.value.expected) == (4, 8)


def test_a_namespace_that_promises_another_dimension_is_refused() -> None:
    with pytest.raises(DimensionMismatch, match="has dimension 8, expected 768"):
        prove(Twin(namespace="single_vector.twin.768.v1"))


@pytest.mark.parametrize("length", [1 + 2e-5, 0.9, 0.0], ids=["a-little", "clearly", "zero"])
def test_vectors_off_unit_length_are_refused(length: float) -> None:
    with pytest.raises(ProbeFailed, match="L2 norm"):
        prove(Twin(length=length))


def test_another_model_of_the_same_dimension_is_refused_where_a_reference_is_known() -> None:
    with pytest.raises(ProbeFailed, match="cosine"):
        prove(Twin(namespace=MINILM, dimension=384))


def test_texts_over_the_budget_are_cut_for_the_probe() -> None:
    twin = Twin(max_tokens=4)

    prove(twin)

    assert max(len(ids) for call in twin.calls for ids in call) == 4


@pytest.mark.parametrize(
    ("norms", "expected"),
    [([1.0, 1 + 9e-6, 1 - 9e-6], 0), ([1 + 2e-5, 1 - 2e-5, 1.0], 2), ([float("nan")], 1)],
    ids=["within", "outside", "not-a-number"],
)
def test_unit_length_means_within_a_hundred_thousandth(norms: list[float], expected: int) -> None:
    assert off_unit(np.array(norms)) == expected


def test_norms_are_those_of_the_rows() -> None:
    rows: NDArray[np.float32] = np.array([[3, 4], [0, 1]], dtype=np.float32)

    np.testing.assert_allclose(row_norms(rows), [5.0, 1.0])


def test_every_reference_is_there_for_every_probe_text() -> None:
    from safetensors.numpy import load

    vectors = load(REFERENCES[MINILM].read_bytes())["vectors"]

    assert vectors.shape == (len(TEXTS), 384)
    assert off_unit(row_norms(vectors)) == 0
    crossed = vectors @ vectors.T
    assert np.abs(crossed - np.eye(len(TEXTS))).max() < 0.5
