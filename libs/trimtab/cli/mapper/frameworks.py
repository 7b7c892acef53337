"""`trimtab mapper frameworks show|coverage|report`: controls per label, and how often answers bore on them."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from trimtab.cli import options
from trimtab.cli.durations import seconds_of
from trimtab.cli.failure import Failure, guarded
from trimtab.cli.mapper.asking import ask
from trimtab.cli.mapper.training import run
from trimtab.cli.output import print_json, stdout
from trimtab.contracts.mappers import MAX_SINCE_S, MappersRequest, MapperState
from trimtab.evaluation import chart
from trimtab.evaluation.page import Section, Table, page

frameworks = typer.Typer(help="Controls of SOC 2, ISO 27001 and HIPAA, by number, per label.")

_MODULE = "services.mapper.mapped_controls"
_DRAWN = 12
"""Controls in the chart of a framework, the most frequent ones."""

Taxonomy = Annotated[
    str, typer.Option("--taxonomy", metavar="FILE|NAME", help="Default: the shipped one.")
]
File = Annotated[
    Path | None, typer.Option("--file", dir_okay=False, help="Controls. Default: the shipped ones.")
]


@frameworks.command("show")
@guarded
def show(
    label: Annotated[
        list[str] | None, typer.Option("--label", help="Only these; repeatable.")
    ] = None,
    taxonomy: Taxonomy = "",
    file: File = None,
    as_json: options.Json = False,
) -> None:
    """Show the controls of each label; wrong files are refused with file and key."""
    words = ["show", *_files(taxonomy, file)]
    words += [word for name in label or [] for word in ("--label", name)]
    run(_MODULE, words, as_json=as_json)


@frameworks.command("coverage")
@guarded
def coverage(taxonomy: Taxonomy = "", file: File = None, as_json: options.Json = False) -> None:
    """Show how many labels each framework is mapped to, and which ones it leaves out."""
    run(_MODULE, ["coverage", *_files(taxonomy, file)], as_json=as_json)


@frameworks.command("report")
@guarded
def report(
    since: Annotated[str, typer.Option("--since", help="How far back: 30m, 24h, 2d.")] = "24h",
    html: Annotated[
        Path | None, typer.Option("--page", dir_okay=False, help="Also write it as an HTML page.")
    ] = None,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Count the answers of the running mappers that bore on each control. No text is in it.

    A mapper counts since it started, two days at most; the report says from when on each one's counts are.
    """
    span_s = seconds_of(since)
    if span_s > MAX_SINCE_S:
        raise Failure(f"mappers count {MAX_SINCE_S / 3600:g} hours back", "ask for less")
    told = shape(ask(nats, nkey_seed, MappersRequest(since_s=span_s)), span_s)
    if html is not None:
        html.parent.mkdir(parents=True, exist_ok=True)
        html.write_text(document(told), encoding="utf-8")
        told["page"] = str(html)
    if as_json:
        print_json(told)
        return
    for line in lines(told):
        stdout().print(line, markup=False, soft_wrap=True)


def shape(states: Sequence[MapperState], span_s: float) -> dict[str, Any]:
    """Return the report for scripts: counts of all mappers added up. Pure."""
    controls: Counter[tuple[str, str, str]] = Counter()
    labels: Counter[tuple[str, str]] = Counter()
    for state in states:
        for each in state.controls:
            controls[each.framework, each.control, each.taxonomy] += each.answers
        for label in state.labels:
            labels[label.taxonomy, label.label] += label.answers
    versions = {
        each.versions.get("frameworks", "none") for state in states for each in state.served
    }
    found: dict[str, list[dict[str, Any]]] = {}
    for (framework, control, taxonomy), answers in _ordered(controls):
        row = {"control": control, "taxonomy": taxonomy, "answers": answers}
        found.setdefault(framework, []).append(row)
    return {
        "since_s": span_s,
        "answers": sum(state.answers for state in states),
        "not_counted_by_label": sum(state.beyond for state in states),
        "frameworks": dict(sorted(found.items())),
        "labels": [
            {"label": label, "taxonomy": taxonomy, "answers": answers}
            for (taxonomy, label), answers in _ordered(labels)
        ],
        "versions": sorted(versions),
        "counted_from": {state.instance: state.counted_from for state in states},
    }


def lines(told: dict[str, Any]) -> list[str]:
    """Return it for people."""
    found = [f"{told['answers']} answers of {len(told['counted_from'])} mappers"]
    if told["not_counted_by_label"]:
        found.append(f"{told['not_counted_by_label']} of them are not counted by label")
    for name, rows in told["frameworks"].items():
        found.append(f"{name}:")
        found += [f"  {row['answers']:>8}  {row['control']}  ({row['taxonomy']})" for row in rows]
    for instance, at in told["counted_from"].items():
        found.append(f"{instance} counts since {_when(at)}")
    return [*found, f"controls of {', '.join(told['versions'])}"]


def document(told: dict[str, Any]) -> str:
    """Return the page."""
    sections = [_section(name, rows) for name, rows in told["frameworks"].items()]
    labels = [[row["label"], row["taxonomy"], str(row["answers"])] for row in told["labels"]]
    since = [[instance, _when(at)] for instance, at in told["counted_from"].items()]
    sections.append(
        Section(
            "Labels", "Answers by label.", [Table(("label", "taxonomy", "answers"), labels).html()]
        )
    )
    sections.append(
        Section(
            "Mappers",
            "Each counts from the time beside it: its own start, or the start of the span.",
            [Table(("mapper", "counts since"), since).html()],
        )
    )
    summary = f"{told['answers']} answers. Controls of {', '.join(told['versions'])}."
    return page("Answers by framework control", summary, [], sections)


def _section(name: str, rows: Sequence[dict[str, Any]]) -> Section:
    drawn = rows[:_DRAWN]
    places = [row["control"] for row in drawn]
    cells = [[row["control"], row["taxonomy"], str(row["answers"])] for row in rows]
    return Section(
        name,
        "Answers whose labels bear on a control; one answer may bear on several.",
        [
            chart.bars(places, [float(row["answers"]) for row in drawn], "answers"),
            Table(("control", "taxonomy", "answers"), cells).html(),
        ],
    )


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))


def _ordered(counts: Counter[Any]) -> list[tuple[Any, int]]:
    return sorted(counts.items(), key=lambda each: (-each[1], each[0]))


def _files(taxonomy: str, file: Path | None) -> list[str]:
    words = ["--taxonomy", taxonomy] if taxonomy else []
    return words + (["--file", str(file)] if file is not None else [])
