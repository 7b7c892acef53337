"""What one evaluation leaves behind: a record in numbers, a line in the history, a page to look at."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

import msgspec

from trimtab.cli.failure import Failure
from trimtab.cli.output import stdout
from trimtab.evaluation.chart import Line, lines
from trimtab.evaluation.latency import LatencyMs
from trimtab.evaluation.metrics import METRICS
from trimtab.evaluation.page import Section, Table
from trimtab.evaluation.queries import Query, digest
from trimtab.evaluation.runs import append_history
from trimtab.evaluation.searching import Answers
from trimtab.evaluation.summary import Summary, summarise
from trimtab.evaluation.trained import HeldOut

_TREND = 60
"""Runs shown of a history."""


class About(TypedDict):
    """What an evaluation was asked to look at."""

    collection: str
    """Where."""
    through: str
    """``gateway``: whole searches; ``retriever``: encoder and retriever alone."""
    seed: int
    """Of the bootstrap, and of the choice of queries."""
    split: HeldOut | None
    """What was left out since training saw it; None where nobody said what it saw."""


def record_of(
    answers: Answers,
    summary: Summary,
    queries: Sequence[Query],
    *,
    whole: bool = False,
    **about: Unpack[About],
) -> dict[str, Any]:
    """Return a run in numbers; every cluster of it when ``whole``, else the worst ten."""
    seed, split = about["seed"], about["split"]
    alone = sparse_alone(answers, seed)
    return {
        "at": time.time(),
        "collection": about["collection"],
        "through": about["through"],
        "queries_digest": digest(queries),
        "seed": seed,
        "split": None if split is None else split.shape(),
        "releases": dict(answers.releases),
        "versions": answers.versions,
        "error_rate": answers.error_rate,
        "errors": dict(answers.errors),
        "degraded": dict(answers.degraded),
        "in_force": answers.in_force,
        "latency_ms": LatencyMs.of(answers.took_ms).shape() if answers.took_ms else None,
        "sparse": None if alone is None else alone.shape()["metrics"],
        **summary.shape(whole=whole),
    }


def sparse_alone(answers: Answers, seed: int) -> Summary | None:
    """Return the figures of the candidates by learned sparse vectors alone; None where they were not searched."""
    return summarise(answers.sparse, seed) if answers.sparse else None


def show_sparse(answers: Answers, seed: int) -> None:
    """Print one row for people, or why there is none."""
    alone = sparse_alone(answers, seed)
    if alone is None:
        line = "none: asked with --no-rerank of a release that searches sparse vectors (docs/sparse.md)"
    else:
        figures = (f"{name} {each.text(100)} %" for name, each in alone.figures.items())
        line = f"{', '.join(figures)}, of {alone.queries} queries"
    stdout().print(f"{'sparse':>10}  {line}", markup=False, soft_wrap=True)


def remember(history: Path, record: dict[str, Any]) -> None:
    """Append a record to a history.

    Raises:
        Failure: the file cannot be written.
    """
    try:
        append_history(history, record)
    except OSError as error:
        problem = f"{history} cannot be written: {error.strerror}"
        raise Failure(problem, "name another file: --history FILE") from None


def sections(summary: Summary, history: Path, record: dict[str, Any]) -> list[Section]:
    """Return what a page about a run shows: figures, earlier runs of the same queries, worst clusters."""
    figures = [(name, figure.text(100)) for name, figure in summary.figures.items()]
    parts = [
        Section(
            "Figures",
            "Percent, with the 95 % interval of a bootstrap over whole clusters.",
            [Table(("metric", "mean [low, high]"), figures).html()],
        )
    ]
    earlier = same_queries(history, record)
    if len(earlier) > 1:
        places = [time.strftime("%m-%d %H:%M", time.localtime(each["at"])) for each in earlier]
        curves = [
            Line(name, [100 * each["metrics"][name]["mean"] for each in earlier])
            for name in ("R@5", "MRR@10", "Contain@50")
        ]
        chart = lines(places, curves, [], "percent by run")
        parts.append(Section("The same queries in earlier runs", "", [chart]))
    if summary.clusters:
        rows = [
            (each.cluster, str(each.queries), *(f"{100 * each.means[m]:.1f}" for m in METRICS))
            for each in summary.clusters
        ]
        head = ("cluster", "queries", *METRICS)
        parts.append(Section("Clusters, the worst first", "Percent.", [Table(head, rows).html()]))
    return parts


def show(summary: Summary, answers: Answers, split: HeldOut | None) -> None:
    """Print the figures for people."""
    console = stdout()
    seen = "not checked against training: see --trained-on"
    if split is not None:
        seen = f"{split.left_out} left out: training saw their articles ({split.trained_on} in all)"
    found = answers.in_force
    steered = (
        f"nprobe {found['nprobe']}, {found['retriever.impl']}, "
        f"reranker {'on' if found['rerank'] else 'off'}, "
        f"switches: {', '.join(found['switches']) or 'none'}"
    )
    console.print(f"{'split':>10}  {seen}", markup=False)
    console.print(f"{'in force':>10}  {steered}", markup=False)
    for name, figure in summary.figures.items():
        console.print(f"{name:>10}  {figure.text(100)} %", markup=False)
    for each in summary.clusters[:5]:
        line = f"{each.cluster}: R@5 {100 * each.means['R@5']:.1f} % of {each.queries}"
        console.print(f"{'worst':>10}  {line}", markup=False)
    if answers.took_ms:
        took = LatencyMs.of(answers.took_ms)
        console.print(f"{'ms':>10}  p50 {took.p50:.1f}, p95 {took.p95:.1f}, p99 {took.p99:.1f}")
    for what, times in [*answers.errors.items(), *answers.degraded.items()]:
        console.print(f"{times} of {summary.queries}: {what}", style="yellow", markup=False)


def same_queries(history: Path, record: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the last runs of the same queries through the same door, oldest first, this one included."""
    same = ("collection", "through", "queries_digest")
    found = []
    for line in history.read_bytes().splitlines():
        try:
            each = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.DecodeError:
            continue  # somebody else's line harms nobody's page
        if all(each.get(key) == record[key] for key in same):
            found.append(each)
    return found[-_TREND:]
