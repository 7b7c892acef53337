"""ONNX Runtime on the CPU: one thread per process, so that the other cores stay free."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.encoder.backend import PackageMissing
from services.encoder.engine import Output
from services.encoder.names import MASK, SENTENCE, TOKEN_IDS, TOKENS
from trimtab.contracts.errors import ModelFailed

_SLOW_FUSIONS = ["SkipLayerNormFusion"]
"""Fused, residual and layer norm take 51 us per node on this path, apart 11 us (measured)."""

_ERRORS_ONLY = 3


def open_session(model: Path, threads: int = 1) -> Any:
    """Return an ONNX Runtime session of a graph.

    Spinning is off: with it, a call of 4 ms took 61 ms while others used the cores (measured).

    Raises:
        PackageMissing: ONNX Runtime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise PackageMissing("onnxruntime", "encoder") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(
        model, options, providers=["CPUExecutionProvider"], disabled_optimizers=_SLOW_FUSIONS
    )


@dataclass(frozen=True)
class OnnxEngine:
    """One session."""

    session: Any
    """ONNX Runtime's."""

    @classmethod
    def load(cls, model: Path, threads: int = 1) -> "OnnxEngine":
        """Open a graph; raises what :func:`open_session` does."""
        return cls(open_session(model, threads))

    def run(self, ids: NDArray[np.int64], *, tokens: bool) -> Output:
        """Return the vector, and the token vectors when asked for."""
        feed = {TOKEN_IDS: ids, MASK: np.ones_like(ids)}
        try:
            outputs = self.session.run([SENTENCE, TOKENS] if tokens else [SENTENCE], feed)
        # ONNX Runtime's own exceptions share no public base class.
        except Exception as error:
            raise ModelFailed("onnxruntime") from error
        return outputs[0], outputs[1][0] if tokens else None
