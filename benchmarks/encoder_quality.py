"""Retrieval quality that each encoder profile loses against fp32: ``python -m benchmarks.encoder_quality``.

Inverse cloze over the ops documentation. The spread of every line is its 95 % interval, articles
resampled; a loss is the paired difference per query, in percentage points.
"""

import importlib.util
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import arguments, report
from benchmarks import encoder_cloze as cloze
from benchmarks.figure import Figure
from services.encoder.backend import EncoderBackend
from services.encoder.build import build_component
from services.encoder.component import open_component
from services.encoder.shipped import SHIPPED
from services.encoder.tokenizer import fit

REFERENCE = "minilm-fp32@1"
BUILT = Path("var/bench/components/built")

_ALL = 1_000_000
_QUICK_PASSAGES = 600
_PART = 64


@dataclass(frozen=True, slots=True)
class Run:
    """What one profile did."""

    rank: NDArray[np.int64]
    """Of each query's own rest; 1 is best."""
    vectors: NDArray[np.float32]
    """Of everything, for the cosine to fp32."""
    per_second: float
    """Texts per second of processor time."""


def encode(backend: EncoderBackend, texts: Sequence[str], label: str = "") -> NDArray[np.float32]:
    """Return the vectors of many texts, with a progress line on stderr."""
    parts = []
    for start in range(0, len(texts), _PART):
        fitted = [
            fit(ids, backend.specials, backend.max_tokens).ids
            for ids in backend.tokenize(texts[start : start + _PART])
        ]
        parts.append(backend.encode(fitted, tokens=False).vectors)
        if label and sys.stderr.isatty():
            print(f"\r{label} {start + len(fitted)}/{len(texts)} ", end="", file=sys.stderr)
    return np.concatenate(parts)


def run(reference: str, clozes: cloze.Clozes) -> Run:
    """Build a profile if needed, encode everything with it and rank."""
    backend = open_component(build_component(reference, BUILT, lambda line: None))
    texts = [*clozes.passages, *clozes.queries, *clozes.rests]
    started = time.process_time()
    vectors = encode(backend, texts, reference)
    took_s = time.process_time() - started
    passages, queries, rests = np.split(
        vectors, [len(clozes.passages), len(clozes.passages) + len(clozes.queries)]
    )
    return Run(cloze.ranks(clozes, passages, queries, rests), vectors, len(texts) / took_s)


def figures(reference: str, result: Run, exact: Run, clozes: cloze.Clozes) -> list[Figure]:
    """Return the lines of one profile."""
    found = []
    for name, values in cloze.measures(result.rank).items():
        found.append(_figure(f"{reference} {name}", "%", values, clozes))
        if reference != REFERENCE:
            lost = cloze.measures(exact.rank)[name] - values
            found.append(_figure(f"{reference} {name} lost against fp32", "pp", lost, clozes))
    if reference != REFERENCE:
        cosine = np.einsum("ij,ij->i", result.vectors, exact.vectors)
        found.append(
            Figure(
                name=f"{reference} cosine to fp32 (mean, min - max over all texts)",
                unit="",
                value=float(cosine.mean()),
                low=float(cosine.min()),
                high=float(cosine.max()),
                rounds=1,
                n=len(cosine),
            )
        )
    return found


def _figure(name: str, unit: str, values: cloze.Array, clozes: cloze.Clozes) -> Figure:
    low, high = cloze.interval(values, clozes.article)
    mean = float(values.mean())
    return Figure(name=name, unit=unit, value=mean, low=low, high=high, rounds=1, n=len(values))


def available() -> list[str]:
    """Return the shipped profiles whose engine is installed, fp32 first."""
    engines = {"onnx": "onnxruntime", "openvino": "openvino"}
    found = [r for r, s in SHIPPED.items() if importlib.util.find_spec(engines[s])]
    return sorted(found, key=lambda reference: reference != REFERENCE)


def main() -> None:
    """Print the table; ``--requests`` is the number of queries."""
    given = arguments.read("encoder_quality", __doc__, rounds=1, requests=_ALL)
    clozes = cloze.load(limit=given.requests)
    if given.quick:
        clozes = cloze.thin(clozes, _QUICK_PASSAGES)
    facts = report.begin("encoder_quality")
    runs: dict[str, Run] = {}
    found: list[Figure] = []
    for reference in available():
        runs[reference] = run(reference, clozes)
        found += figures(reference, runs[reference], runs[REFERENCE], clozes)
    notes = [
        f"{len(clozes.queries)} queries of {len(set(clozes.article.tolist()))} articles, "
        f"{len(clozes.passages)} passages. The spread is a 95 % interval, articles resampled.",
        "Texts per second of processor time, passages and queries mixed: "
        + ", ".join(f"{name} {result.per_second:.0f}" for name, result in runs.items())
        + ".",
    ]
    done = report.Report(
        benchmark="encoder_quality",
        command=given.command,
        machine=facts,
        figures=found,
        notes=notes,
    )
    report.show(done, given.json)


if __name__ == "__main__":
    main()
