"""OpenVINO on the CPU: one thread, one stream, int8 weights, activations quantised row by row."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.encoder.backend import PackageMissing
from services.encoder.engine import Output
from services.encoder.names import MASK, SENTENCE, TOKEN_IDS, TOKENS
from trimtab.contracts.errors import ModelFailed


@dataclass(frozen=True)
class OpenVinoEngine:
    """One compiled model and its one request."""

    request: Any
    """OpenVINO's inference request; used from one thread."""

    @classmethod
    def load(cls, model: Path, threads: int = 1) -> "OpenVinoEngine":
        """Compile a graph.

        The precision is stated: left alone, OpenVINO computes in bf16 where the CPU has it, and the
        same index would be queried with other vectors on the next machine.

        Raises:
            PackageMissing: OpenVINO is not installed; it is optional.
        """
        try:
            import openvino
        except ImportError as error:
            raise PackageMissing("openvino", "encoder-openvino") from error
        core = openvino.Core()
        compiled = core.compile_model(
            core.read_model(model),
            "CPU",
            {
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": 1,
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": "f32",
            },
        )
        return cls(compiled.create_infer_request())

    def run(self, ids: NDArray[np.int64], *, tokens: bool) -> Output:
        """Return the vector, and the token vectors when asked for."""
        try:
            outputs = self.request.infer({TOKEN_IDS: ids, MASK: np.ones_like(ids)})
        # OpenVINO raises RuntimeError and classes of its own below Exception.
        except Exception as error:
            raise ModelFailed("openvino") from error
        return np.array(outputs[SENTENCE]), np.array(outputs[TOKENS][0]) if tokens else None
