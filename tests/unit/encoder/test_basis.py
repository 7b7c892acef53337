"""The token basis keeps inner products, makes unit rows of bytes, and comes out the same twice."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save

from services.encoder.basis import DIMENSION, SHIPPED, TokenBasis, fit
from services.encoder.fit_basis import kept_share
from trimtab.artifacts.manifest import ArtifactCorrupt

HIDDEN = 160


def _cloud(seed: int, rows: int, directions: int) -> NDArray[np.float64]:
    """Unit vectors that lie in a few directions of a larger space."""
    rng = np.random.default_rng(seed)
    plane = np.linalg.qr(rng.normal(size=(HIDDEN, directions)))[0]
    points = rng.normal(size=(rows, directions)) @ plane.T
    unit: NDArray[np.float64] = points / np.linalg.norm(points, axis=1, keepdims=True)
    return unit


def _fitted(points: NDArray[np.float64]) -> TokenBasis:
    return fit(points.T @ points / len(points))


def test_inner_products_of_vectors_that_lie_in_the_basis_survive() -> None:
    points = _cloud(0, 500, DIMENSION)

    small = _fitted(points).project(points.astype(np.float32)).astype(np.float64) / 127

    np.testing.assert_allclose(small @ small.T, points @ points.T, atol=0.02)


def test_every_row_has_unit_length_times_127() -> None:
    points = _cloud(1, 200, HIDDEN)

    rows = _fitted(points).project(5 * points.astype(np.float32))

    assert rows.shape == (200, DIMENSION)
    assert rows.dtype == np.int8
    np.testing.assert_allclose(np.linalg.norm(rows.astype(float), axis=1), 127, atol=3.5)


def test_a_vector_of_zeros_stays_zero_instead_of_becoming_not_a_number() -> None:
    rows = _fitted(_cloud(2, 200, HIDDEN)).project(np.zeros((1, HIDDEN), dtype=np.float32))

    assert not rows.any()


def test_the_sign_of_every_direction_is_fixed() -> None:
    moment = np.diag(np.arange(1.0, HIDDEN + 1))

    one, other = fit(moment), fit(moment + 1e-13)

    np.testing.assert_allclose(one.matrix, other.matrix, atol=1e-5)
    assert (one.matrix.max(axis=0) > 0.99).all()


def test_the_share_kept_is_that_of_the_largest_eigenvalues() -> None:
    values = np.concatenate([np.full(DIMENSION, 3.0), np.full(HIDDEN - DIMENSION, 1.0)])
    moment = np.diag(values)

    assert kept_share(moment, fit(moment)) == pytest.approx(3 * DIMENSION / values.sum(), abs=1e-6)


def test_saving_and_loading_changes_nothing_and_equal_numbers_give_equal_bytes(
    tmp_path: Path,
) -> None:
    basis = _fitted(_cloud(3, 300, HIDDEN))
    basis.save(tmp_path / "one.safetensors")
    basis.save(tmp_path / "two.safetensors")

    loaded = TokenBasis.load(tmp_path / "one.safetensors")

    np.testing.assert_array_equal(loaded.matrix, basis.matrix)
    assert (tmp_path / "one.safetensors").read_bytes() == (
        tmp_path / "two.safetensors"
    ).read_bytes()


@pytest.mark.parametrize(
    "tensors",
    [{"other": np.zeros((384, 128), np.float32)}, {"basis": np.zeros((384, 64), np.float32)}],
    ids=["another-name", "another-width"],
)
def test_a_file_without_a_basis_is_refused(
    tensors: dict[str, NDArray[np.float32]], tmp_path: Path
) -> None:
    path = tmp_path / "basis.safetensors"
    path.write_bytes(save(tensors))

    with pytest.raises(ArtifactCorrupt, match=r"holds no \(n, 128\) basis"):
        TokenBasis.load(path)


def test_the_shipped_basis_is_orthonormal_and_fits_the_model() -> None:
    matrix = TokenBasis.load(SHIPPED).matrix.astype(np.float64)

    assert matrix.shape == (384, DIMENSION)
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(DIMENSION), atol=1e-5)
