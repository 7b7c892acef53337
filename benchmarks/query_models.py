"""Contextual query models beside their trivial baselines: ``python -m benchmarks.query_models``.

Trains ``amn_v0`` and ``gru_v0`` on the training articles of ``opsdocs`` (kept below ``var/bench``), then
searches the next passage of every window of the test articles with the query's own vector, the window's mean
and each model. Windows with a text that stands in another part's articles, too, are left out. Every difference
to both baselines is printed with its interval, whatever its sign.
"""

import hashlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import arguments, report
from benchmarks.figure import Figure, percentile
from benchmarks.query_windows import NAMESPACE, Found, Passages, Predict, read, search
from benchmarks.rerank_data import DataMissing
from benchmarks.rerank_metrics import METRICS, Difference, Values, paired_difference
from services.retriever.querymodel.amn import AmnSize
from services.retriever.querymodel.component import Size, load_model
from services.retriever.querymodel.descent import Epoch, Schedule
from services.retriever.querymodel.gru import GruSize
from services.retriever.querymodel.model import Mean
from services.retriever.querymodel.windows import Windows
from services.retriever.train_query_model import train
from trimtab.contracts.retrieve import LAST_VEC

KEPT = Path(__file__).parents[1] / "var" / "bench" / "query-models"
"""Trained models by what they were trained on; safe to delete."""

BASELINES = (LAST_VEC, "mean")

_SIZES: dict[str, Callable[[int], Size]] = {
    "amn_v0": lambda dimension: AmnSize(dimension=dimension),
    "gru_v0": lambda dimension: GruSize(dimension=dimension),
}
_SMALL: dict[str, Callable[[int], Size]] = {
    "amn_v0": lambda dimension: AmnSize(dimension=dimension, d_model=16, hidden=16),
    "gru_v0": lambda dimension: GruSize(dimension=dimension, hidden=16, blocks=1),
}
"""For --quick: only to see that training and serving run."""

_LONGER = {"amn_v0": 80, "gru_v0": 40}
"""Epochs beside the runbook's 20, whose data had 230 times as many windows and so as many more steps."""

COSINE = "cosine"


@dataclass(frozen=True, slots=True)
class Compared:
    """What every way of making the vector found for the same windows."""

    windows: Windows
    """Of the test articles."""
    found: dict[str, Found]
    """By query model, the baselines first."""
    took_ms: dict[str, list[float]]
    """Of each window."""

    def values(self, name: str, metric: str) -> Values:
        """Return one value per window."""
        found = self.found[name]
        return found.cosines if metric == COSINE else METRICS[metric](found.ranks)

    def over(self, name: str, baseline: str, metric: str) -> Difference:
        """Return the difference to a baseline, articles resampled whole."""
        after, before = self.values(name, metric), self.values(baseline, metric)
        return paired_difference(after, before, self.windows.articles)


def baselines() -> dict[str, Predict]:
    """Return the two ways that need no training."""
    return {LAST_VEC: lambda window: window[-1], "mean": Mean().vector}


def models(passages: Passages, *, quick: bool) -> dict[str, Predict]:
    """Return every model: trained as the runbook says, and for longer."""
    if quick:
        return {kind: trained(kind, passages, _SMALL[kind], Schedule(epochs=1)) for kind in _SMALL}
    made = {kind: trained(kind, passages, _SIZES[kind], Schedule()) for kind in _SIZES}
    for kind, epochs in _LONGER.items():
        longer = trained(kind, passages, _SIZES[kind], Schedule(epochs=epochs))
        made[f"{kind}, {epochs} epochs"] = longer
    return made


def trained(
    kind: str, passages: Passages, size_of: Callable[[int], Size], schedule: Schedule
) -> Predict:
    """Return a model trained on the training articles, from an earlier run where nothing changed."""
    size = size_of(passages.vectors.shape[1])
    about = f"{size} {schedule} {passages.encoder} {len(passages.places)}"
    folder = KEPT / f"{kind}-{hashlib.sha256(about.encode()).hexdigest()[:12]}"
    if not (folder / "manifest.json").is_file():
        train(
            passages.places,
            passages.vectors,
            size,
            schedule,
            folder=folder,
            reference=f"{kind}@1",
            namespace=NAMESPACE,
            encoder=passages.encoder.partition(" ")[0],
            report=lambda epoch: _progress(kind, epoch),
        )
    model = load_model(folder)
    print(f"{kind}: {model.card.training}", file=sys.stderr)
    return model.vector


def compare(passages: Passages, windows: Windows, ways: dict[str, Predict]) -> Compared:
    """Search with every vector."""
    found, took_ms = {}, {}
    for name, predict in ways.items():
        clock = _Clock(predict)
        found[name] = search(passages, windows, clock)
        took_ms[name] = clock.took_ms
    return Compared(windows, found, took_ms)


def table(compared: Compared) -> str:
    """Return the figures and every difference as Markdown, percent and percentage points."""
    names = [*METRICS, COSINE]
    lines = [f"| searched with | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for name in compared.found:
        values = " | ".join(f"{100 * compared.values(name, m).mean():.2f}" for m in names)
        lines.append(f"| {name} | {values} |")
        for baseline in BASELINES:
            if name not in BASELINES or (name, baseline) == ("mean", LAST_VEC):
                changes = " | ".join(_points(compared.over(name, baseline, m)) for m in names)
                lines.append(f"| {name} - {baseline} | {changes} |")
    return "\n".join(lines)


def figures(compared: Compared) -> list[Figure]:
    """Return every difference to every baseline, and the time that each model takes."""
    size = len(compared.windows.rows)
    made = [
        _figure(compared, name, baseline, metric, size)
        for name in compared.found
        for baseline in BASELINES
        if name not in BASELINES or (name, baseline) == ("mean", LAST_VEC)
        for metric in (*METRICS, COSINE)
    ]
    for name, took_ms in compared.took_ms.items():
        if name != LAST_VEC:
            low, high = percentile(took_ms, 0.05), percentile(took_ms, 0.95)
            middle = percentile(took_ms, 0.5)
            made.append(
                Figure(
                    name=f"{name}: one window, P50 (P5 - P95)",
                    unit="ms",
                    value=middle,
                    low=low,
                    high=high,
                    rounds=1,
                    n=size,
                )
            )
    return made


class _Clock:
    """A model with a stop-watch."""

    def __init__(self, predict: Predict) -> None:
        self._predict = predict
        self.took_ms: list[float] = []

    def __call__(self, window: np.ndarray) -> np.ndarray:
        started = time.perf_counter()
        vector = self._predict(window)
        self.took_ms.append((time.perf_counter() - started) * 1000)
        return vector


def _figure(compared: Compared, name: str, baseline: str, metric: str, size: int) -> Figure:
    difference = compared.over(name, baseline, metric)
    return Figure(
        name=f"opsdocs next passage: {name} {metric} over {baseline}",
        unit="pp" if metric != COSINE else "x 0.01",
        value=100 * difference.mean,
        low=100 * difference.low,
        high=100 * difference.high,
        rounds=1,
        n=size,
    )


def _points(difference: Difference) -> str:
    return (
        f"{100 * difference.mean:+.2f} [{100 * difference.low:+.2f}, {100 * difference.high:+.2f}]"
    )


def _progress(kind: str, epoch: Epoch) -> None:
    print(
        f"{kind} epoch {epoch.number}: loss {epoch.loss:.6f}, validation {epoch.validation_loss:.6f},"
        f" cosine {epoch.validation_cosine:.4f}",
        file=sys.stderr,
        flush=True,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 0 when done, 2 when the data is not there."""
    given = arguments.read("query_models", __doc__, rounds=1, requests=10_000, argv=argv)
    machine = report.begin("query_models")
    try:
        passages = read()
    except DataMissing as missing:
        print(missing, file=sys.stderr)
        return 2
    found = passages.windows("test")
    step = max(1, -(-len(found.rows) // given.requests))
    windows = Windows(found.rows[::step], found.articles[::step])
    compared = compare(passages, windows, baselines() | models(passages, quick=given.quick))
    size = f"{len(windows.rows)} windows of {len(set(windows.articles))} articles"
    print(f"\n### opsdocs: {size}, held out, {len(passages.places)} passages searched\n")
    print(table(compared))
    done = report.Report(
        benchmark="query_models",
        command=given.command,
        machine=machine,
        figures=figures(compared),
        notes=[
            f"{size}, of which training saw neither an article nor, word for word, a text; the spread is a 95 % "
            "interval, articles resampled whole.",
            "The window's own five passages are left out of every result.",
        ],
    )
    report.show(done, given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
