"""Proves at start that a model makes the vectors that its namespace promises."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from services.encoder.backend import EncoderBackend
from services.encoder.spec import MINILM, namespace_dimension
from services.encoder.tokenizer import fit
from trimtab.contracts.errors import DimensionMismatch, TrimtabError

TEXTS = (
    "A small surface on a rudder moves the whole ship.",
    "rotate the signing keys",
    "Which queue holds messages that no consumer acknowledged?",
    "The operator lowered the weight of the new release to zero, watched the error rate fall for ten "
    "minutes, wrote down what had happened and only then went home, because nobody wants to read an "
    "incident report that begins with the words: it looked fine on my machine.",
)
"""Short, shorter, a question, a passage: encoded by every worker before it takes requests."""

REFERENCES = {MINILM: Path(__file__).with_name("probe_minilm.safetensors")}
"""Vectors of the texts as the published weights make them in fp32, by namespace."""

NORM_TOLERANCE = 1e-5
"""Largest distance of a vector's length from 1."""

LEAST_COSINE = 0.97
"""Every shipped profile stays above 0.98; another model, or a broken int8 path, is far below."""

_KEY = "vectors"


class ProbeFailed(TrimtabError):
    """A model does not make the vectors of its namespace; the worker must not start."""

    def __init__(self, namespace: str, problem: str) -> None:
        super().__init__(
            f"the model does not make vectors of {namespace}: {problem}; check which model is "
            "loaded, or declare another namespace"
        )
        self.namespace, self.problem = namespace, problem


@dataclass(frozen=True, slots=True)
class Proof:
    """What the probe found."""

    dimension: int
    """Numbers per vector."""
    mean_norm: float
    """Mean length of the vectors."""
    least_cosine: float | None
    """Smallest cosine to the reference; None where the namespace has none."""


def prove(backend: EncoderBackend) -> Proof:
    """Encode the probe texts and check dimension, length and, where known, direction.

    Raises:
        DimensionMismatch: the model's dimension is not the one of the namespace.
        ProbeFailed: a vector is not of unit length, or points elsewhere than the reference.
    """
    vectors = encode_texts(backend)
    dimension = vectors.shape[1]
    for expected in (backend.dimension, namespace_dimension(backend.namespace)):
        if expected is not None and dimension != expected:
            raise DimensionMismatch(f"the model of {backend.namespace}", dimension, expected)
    norms = row_norms(vectors)
    if off_unit(norms):
        raise ProbeFailed(backend.namespace, f"a vector has the L2 norm {norms.max():.6f}, not 1")
    return Proof(dimension, float(norms.mean()), _least_cosine(backend.namespace, vectors))


def encode_texts(backend: EncoderBackend) -> NDArray[np.float32]:
    """Return the vectors of the probe texts, (4, dimension)."""
    fitted = [fit(ids, backend.specials, backend.max_tokens) for ids in backend.tokenize(TEXTS)]
    return backend.encode([text.ids for text in fitted], tokens=False).vectors


def row_norms(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the L2 norm of every row, summed in f64."""
    wide = vectors.astype(np.float64)
    norms: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    return norms


def off_unit(norms: NDArray[np.float64]) -> int:
    """Return how many norms are not within 1e-5 of 1; NaN is not."""
    return int(np.count_nonzero(~(np.abs(norms - 1.0) < NORM_TOLERANCE)))


def save_reference(vectors: NDArray[np.float32], path: Path) -> None:
    """Write reference vectors, the same bytes for the same numbers."""
    path.write_bytes(save({_KEY: np.ascontiguousarray(vectors)}))


def _least_cosine(namespace: str, vectors: NDArray[np.float32]) -> float | None:
    path = REFERENCES.get(namespace)
    if path is None:
        return None
    reference = load(path.read_bytes())[_KEY]
    least = float(np.einsum("ij,ij->i", vectors, reference).min())
    if not least >= LEAST_COSINE:
        raise ProbeFailed(
            namespace,
            f"cosine {least:.3f} to its reference vectors, at least {LEAST_COSINE} wanted",
        )
    return least
