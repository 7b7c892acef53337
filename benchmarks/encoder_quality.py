"""Retrieval quality that each encoder profile loses against fp32: ``python -m benchmarks.encoder_quality``."""

import argparse
import importlib.util
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import encoder_cloze as cloze
from services.encoder.backend import EncoderBackend
from services.encoder.build import build_component
from services.encoder.component import open_component
from services.encoder.shipped import SHIPPED
from services.encoder.tokenizer import fit

REFERENCE = "minilm-fp32@1"
_PART = 64


@dataclass(frozen=True, slots=True)
class Run:
    """What one profile did."""

    rank: NDArray[np.int64]
    vectors: NDArray[np.float32]
    took_s: float


def encode(backend: EncoderBackend, texts: Sequence[str], label: str = "") -> NDArray[np.float32]:
    """Return the vectors of many texts, with a progress line on stderr."""
    parts = []
    for start in range(0, len(texts), _PART):
        fitted = [
            fit(ids, backend.specials, backend.max_tokens).ids
            for ids in backend.tokenize(texts[start : start + _PART])
        ]
        parts.append(backend.encode(fitted, tokens=False).vectors)
        if label:
            print(f"\r{label} {start + len(fitted)}/{len(texts)} ", end="", file=sys.stderr)
    return np.concatenate(parts)


def run(reference: str, clozes: cloze.Clozes, built: Path) -> Run:
    """Build a profile if needed, encode everything with it and rank."""
    backend = open_component(build_component(reference, built, lambda line: None))
    texts = [*clozes.passages, *clozes.queries, *clozes.rests]
    started = time.process_time()
    vectors = encode(backend, texts, reference)
    took_s = time.process_time() - started
    print("", file=sys.stderr)
    passages, queries, rests = np.split(
        vectors, [len(clozes.passages), len(clozes.passages) + len(clozes.queries)]
    )
    return Run(cloze.ranks(clozes, passages, queries, rests), vectors, took_s)


def row(reference: str, result: Run, exact: Run, clozes: cloze.Clozes) -> str:
    """Return one line of the table."""
    cells = [f"{reference:18}"]
    for name, values in cloze.measures(result.rank).items():
        lost = values - cloze.measures(exact.rank)[name]
        low, high = cloze.interval(lost, clozes.article)
        cells.append(f"{values.mean():6.2f}  {lost.mean():+5.2f} [{low:+5.2f}, {high:+5.2f}]")
    cosine = np.einsum("ij,ij->i", result.vectors, exact.vectors)
    cells.append(f"{cosine.mean():.5f} / {cosine.min():.5f}  {result.took_s:6.0f}")
    return " | ".join(cells)


def available() -> list[str]:
    """Return the shipped profiles whose engine is installed, fp32 first."""
    engines = {"onnx": "onnxruntime", "openvino": "openvino"}
    found = [r for r, s in SHIPPED.items() if importlib.util.find_spec(engines[s])]
    return sorted(found, key=lambda reference: reference != REFERENCE)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=None, help="only so many, evenly spread")
    parser.add_argument("--built", type=Path, default=Path("var/bench/components"))
    arguments = parser.parse_args()
    clozes = cloze.load(limit=arguments.queries)
    print(
        f"inverse cloze: {len(clozes.queries)} queries of {len(set(clozes.article))} articles, "
        f"{len(clozes.passages)} passages; differences to {REFERENCE} with 95 % intervals, "
        "articles resampled"
    )
    header = " | ".join(f"{name:>6}  {'difference':22}" for name in ("R@1", "R@5", "MRR"))
    print(f"{'profile':18} | {header} | cosine mean / min     CPU s")
    runs: dict[str, Run] = {}
    for reference in available():
        runs[reference] = run(reference, clozes, arguments.built)
        print(row(reference, runs[reference], runs[REFERENCE], clozes), flush=True)


if __name__ == "__main__":
    main()
