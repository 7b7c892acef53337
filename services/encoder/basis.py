"""Token vectors made small for MaxSim: 384 floats become 128 signed bytes, by a fixed projection."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from trimtab.artifacts.manifest import ArtifactCorrupt

SHIPPED = Path(__file__).with_name("token_basis.safetensors")
"""The basis of all profiles, fitted by ``python -m services.encoder.fit_basis``."""

DIMENSION = 128
"""Numbers per token vector: 0.5 pp R@5 below all 384 in the measurements, at a third of the work."""

_KEY = "basis"
_SCALE = 127.0


@dataclass(frozen=True, slots=True)
class TokenBasis:
    """An orthonormal basis of the directions in which token vectors differ most."""

    matrix: NDArray[np.float32]
    """(hidden, 128), columns orthonormal."""

    @classmethod
    def load(cls, path: Path) -> "TokenBasis":
        """Read a verified ``token_basis.safetensors``.

        Raises:
            ArtifactCorrupt: it does not hold a float32 matrix of 128 columns.
        """
        matrix = load(path.read_bytes()).get(_KEY)
        if matrix is None or matrix.ndim != 2 or matrix.shape[1] != DIMENSION:
            raise ArtifactCorrupt(path.parent.name, path.name, f"holds no (n, {DIMENSION}) basis")
        return cls(matrix.astype(np.float32, copy=False))

    def save(self, path: Path) -> None:
        """Write the basis, the same bytes for the same numbers."""
        path.write_bytes(save({_KEY: np.ascontiguousarray(self.matrix)}))

    def project(self, tokens: NDArray[np.float32]) -> NDArray[np.int8]:
        """Return (tokens, 128) int8 of (tokens, hidden) f32: projected, unit length, times 127."""
        small = tokens @ self.matrix
        small /= np.maximum(np.linalg.norm(small, axis=1, keepdims=True), 1e-12)
        rounded: NDArray[np.int8] = np.rint(small * _SCALE).astype(np.int8)
        return rounded


def fit(second_moment: NDArray[np.float64]) -> TokenBasis:
    """Return the basis that keeps inner products best, from the (hidden, hidden) second moment.

    The leading eigenvectors of the uncentred second moment of unit token vectors: the best
    approximation of their inner products of that rank (Eckart and Young). MaxSim sums inner
    products, so the mean is not subtracted.
    """
    _, vectors = np.linalg.eigh(second_moment)
    leading = vectors[:, ::-1][:, :DIMENSION]
    # An eigenvector's sign is arbitrary: the largest entry is made positive, so that two runs agree.
    signs = np.sign(leading[np.abs(leading).argmax(axis=0), np.arange(DIMENSION)])
    return TokenBasis((leading * signs).astype(np.float32))
