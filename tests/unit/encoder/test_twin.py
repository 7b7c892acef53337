"""The twin that other tests rely on keeps the promises of a real backend."""

import numpy as np

from services.encoder.backend import EncoderBackend
from services.encoder.probe import prove
from tests.unit.encoder.twin import Twin


def test_the_twin_passes_the_probe_that_every_backend_must_pass() -> None:
    backend: EncoderBackend = Twin(max_tokens=64)

    proof = prove(backend)

    assert (proof.dimension, proof.least_cosine) == (8, None)
    np.testing.assert_allclose(proof.mean_norm, 1.0, atol=1e-6)
