"""Fits the shipped token basis and probe vectors: ``python -m services.encoder.fit_basis``.

The text is the standard library of the running interpreter, read from its docstrings, so that
nothing foreign is needed and nothing of it is stored: only 384 x 128 numbers come out.
"""

import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from safetensors.numpy import load_file

from services.encoder import basis, graph, probe
from services.encoder.build import MAX_TOKENS
from services.encoder.engine import Engine
from services.encoder.onnx_engine import OnnxEngine
from services.encoder.spec import MINILM
from services.encoder.tokenizer import TextTokenizer, fit
from services.encoder.weights import Report, locate
from trimtab.corpus import stdlib


def second_moment(
    texts: Iterable[str], tokenizer: TextTokenizer, engine: Engine
) -> tuple[NDArray[np.float64], int]:
    """Return the (hidden, hidden) second moment of the texts' unit token vectors, and their number."""
    hidden = graph.Architecture().hidden
    moment, count = np.zeros((hidden, hidden)), 0
    for text in texts:
        ids = fit(tokenizer.ids(text), tokenizer.specials, MAX_TOKENS).ids
        _, tokens = engine.run(np.array([ids], dtype=np.int64), tokens=True)
        if tokens is None:
            raise AssertionError("the engine was asked for token vectors")
        wide = tokens.astype(np.float64)
        wide /= np.linalg.norm(wide, axis=1, keepdims=True)
        moment += wide.T @ wide
        count += len(wide)
    return moment / max(count, 1), count


def kept_share(moment: NDArray[np.float64], fitted: basis.TokenBasis) -> float:
    """Return the share of the token vectors' energy that the basis keeps, 0..1."""
    matrix = fitted.matrix.astype(np.float64)
    return float(np.trace(matrix.T @ moment @ matrix) / np.trace(moment))


def main(report: Report = lambda line: print(line, file=sys.stderr)) -> None:  # noqa: T201
    """Fit both files from the fp32 graph and write them into this folder."""
    with tempfile.TemporaryDirectory(prefix="trimtab-fit-") as scratch:
        weights = locate(Path(scratch) / "weights", report)
        model = Path(scratch) / "fp32.onnx"
        onnx.save(graph.build(load_file(weights.model)), model)
        engine = OnnxEngine.load(model)
    tokenizer = TextTokenizer.load(weights.tokenizer)
    texts = sorted({document.text for document in stdlib.documents()})
    report(f"{len(texts)} docstrings of Python {sys.version_info.major}.{sys.version_info.minor}")
    moment, count = second_moment(texts, tokenizer, engine)
    fitted = basis.fit(moment)
    fitted.save(basis.SHIPPED)
    report(
        f"{count} token vectors; {basis.DIMENSION} directions keep {kept_share(moment, fitted):.1%}"
    )
    rows = [fit(tokenizer.ids(text), tokenizer.specials, MAX_TOKENS).ids for text in probe.TEXTS]
    vectors = [engine.run(np.array([ids], dtype=np.int64), tokens=False)[0] for ids in rows]
    probe.save_reference(np.concatenate(vectors), probe.REFERENCES[MINILM])


if __name__ == "__main__":
    main()
