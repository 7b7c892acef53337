"""`trimtab eval compare`: two runs of the same queries, paired, with gates."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from trimtab.cli import judged, options
from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import Failure, guarded
from trimtab.cli.output import stdout
from trimtab.evaluation.bootstrap import Interval
from trimtab.evaluation.chart import Line, grouped
from trimtab.evaluation.gates import Gate, at_least
from trimtab.evaluation.metrics import METRICS
from trimtab.evaluation.page import Section, Table
from trimtab.evaluation.runs import BadRun, Ranking, aligned, read_run
from trimtab.evaluation.summary import differences, summarise

RunFile = Annotated[Path, typer.Option(exists=True, dir_okay=False, metavar="HITS.jsonl")]
Least = Annotated[float | None, typer.Option(help="Least difference, percentage points.")]


@guarded
def compare(
    before: RunFile,
    after: RunFile,
    min_delta_r1: Least = None,
    min_delta_r5: Least = -2.0,
    min_delta_r10: Least = None,
    min_delta_mrr: Least = None,
    min_delta_contain: Least = None,
    min_contain: Annotated[
        float | None, typer.Option(help="Least Contain@50 after, 0..1.", min=0.0, max=1.0)
    ] = None,
    surely: Annotated[
        bool, typer.Option("--surely", help="Judge the lower end of each interval, not the mean.")
    ] = False,
    seed: judged.RandomSeed = 7,
    report: judged.ReportFile = None,
    as_json: options.Json = False,
) -> None:
    """Compare two runs that `trimtab eval run --hits` wrote, query by query; needs no deployment.

    Runs of other queries, or with other relevant ids, are refused. Exit code 1 when a gate fails.
    """
    pairs = _pairs(before, after)
    found = differences(pairs, seed)
    bounds = (min_delta_r1, min_delta_r5, min_delta_r10, min_delta_mrr, min_delta_contain)
    gates = [
        delta_gate(name, found[name], least, surely=surely)
        for name, least in zip(METRICS, bounds, strict=True)
        if least is not None
    ]
    figures = [summarise([pair[side] for pair in pairs], seed).figures for side in (0, 1)]
    if min_contain is not None:
        gates.append(at_least("Contain@50 after", figures[1]["Contain@50"].mean, min_contain))
    rows = table(figures[0], figures[1], found)
    judged.write_report(
        report,
        f"{before.name} and {after.name}",
        f"{len(pairs)} queries, paired",
        gates,
        sections(("before", "after"), figures, rows),
    )
    if not as_json:
        show(rows)
    result = {
        "queries": len(pairs),
        "before": {name: figure.shape() for name, figure in figures[0].items()},
        "after": {name: figure.shape() for name, figure in figures[1].items()},
        "delta_pp": {name: delta.shape(100) for name, delta in found.items()},
    }
    judged.finish(result, gates, as_json=as_json)


HEAD = ("metric", "before", "after", "difference [95 %]")


def table(
    before: dict[str, Interval], after: dict[str, Interval], found: dict[str, Interval]
) -> list[tuple[str, ...]]:
    """Return one row per metric."""
    return [
        (name, f"{100 * before[name].mean:.2f}", f"{100 * after[name].mean:.2f}", each.text(100))
        for name, each in found.items()
    ]


def sections(
    names: tuple[str, str], figures: Sequence[dict[str, Interval]], rows: list[tuple[str, ...]]
) -> list[Section]:
    """Return what a page shows of two runs: bars side by side, and the rows of :func:`table`."""
    groups = [
        Line(name, [100 * each.mean for each in run.values()])
        for name, run in zip(names, figures, strict=True)
    ]
    return [
        Section(
            f"Percent, {' and '.join(names)}", parts=[grouped(list(figures[0]), groups, "percent")]
        ),
        Section("Percent; differences in points", parts=[Table(HEAD, rows).html()]),
    ]


def show(rows: list[tuple[str, ...]]) -> None:
    """Print the rows of :func:`table`."""
    for row in (HEAD, *rows):
        name, one, other, difference = row
        stdout().print(f"{name:>10}  {one:>8}  {other:>8}  {difference}", markup=False)


def delta_gate(name: str, delta: Interval, least: float, *, surely: bool) -> Gate:
    """Return the gate of one difference, judged by its mean or by the lower end of its interval."""
    value = delta.low if surely else delta.mean
    what = "lower end, pp" if surely else "pp"
    return at_least(f"d{name}", 100 * value, least, f"{what}; 95 % interval {delta.text(100)}")


def _pairs(before: Path, after: Path) -> list[tuple[Ranking, Ranking]]:
    try:
        return aligned(read_run(before), read_run(after))
    except BadRun as error:
        problem, _, remedy = str(error).partition("; ")
        raise Failure(problem, remedy or "see --help", ExitCode.USAGE, "BadRun") from None
