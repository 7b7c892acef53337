"""What a built index is judged by and how it is shown: gates, figures, the page with its lists."""

from typing import Any

from trimtab.cli import judged
from trimtab.cli.output import stdout
from trimtab.evaluation.chart import bars
from trimtab.evaluation.gates import Gate, at_least, at_most
from trimtab.evaluation.page import Section, Table

FEWEST = 20
"""Held-out queries below which the overlap is not judged."""


def gates(
    built: dict[str, Any], least_overlap: float, most_loss_pp: float, most_imbalance: float
) -> list[Gate]:
    """Return what an index must keep to before it may serve; pure."""
    record, overlap = built["record"], built["overlap"]
    found = [at_most("vectors not of unit length", built["norms"]["beyond"], 0)]
    if record["nlist"]:
        detail = f"{record['nlist']} lists of {built['lists'][-1]} to {built['lists'][0]}"
        found.append(at_most("imbalance of the lists", record["imbalance"], most_imbalance, detail))
        found.append(at_most("longest list, times the mean", built["hottest"], 10.0))
    if overlap is not None and overlap["queries"] >= FEWEST:
        what = f"{overlap['queries']} held-out queries, min {overlap['min']:.2f}"
        found.append(at_least("overlap@10", overlap["mean"], least_overlap, what))
        for name in ("R@5", "Contain@50"):
            if name in built["losses"]:
                loss = 100 * built["losses"][name]
                told = f"pp, {built['judged']} queries with relevant ids"
                found.append(at_most(f"loss of {name}", loss, most_loss_pp, told))
    return found


def unjudged(built: dict[str, Any]) -> str:
    """Return why it is not known whether the index finds enough; empty when it was judged."""
    held_out = built["overlap"]["queries"] if built["overlap"] else 0
    if held_out >= FEWEST:
        return ""
    return f"{held_out} queries are held out, fewer than {FEWEST}: whether it finds enough is not judged"


def show(built: dict[str, Any]) -> None:
    """Print the figures."""
    record = built["record"]
    lists = f", {record['nlist']} lists, nprobe {record['nprobe']}" if record["nlist"] else ""
    norms = f"norms {record['least_norm']:.6f} to {record['greatest_norm']:.6f}"
    stdout().print(
        f"{built['component']}: {record['kind']} of {record['passages']} x {record['dimension']}"
        f"{lists}, {norms}, {built['bytes'] / 2**20:.2f} MiB, {built['hash'][:12]}",
        markup=False,
    )
    for name in built["dropped"]:
        stdout().print(f"left out: the index of {name}, which is of another kind", style="yellow")


def write(report: judged.ReportFile, built: dict[str, Any], found: list[Gate]) -> None:
    """Write the page, if one was asked for."""
    record, lengths = built["record"], built["lists"]
    places = [str(number + 1) for number in range(len(lengths))]
    rows = [
        (name, f"{value:g}" if isinstance(value, float) else str(value))
        for name, value in record.items()
    ]
    judged.write_report(
        report,
        f"Index {built['component']} of {record['collection']}",
        f"{record['kind']}, {record['passages']} passages, {record['queries']} held-out queries",
        found,
        [
            Section(
                "Lengths of the lists, longest first",
                f"Imbalance {record['imbalance']:.3f}: 1 is even." if lengths else "No lists.",
                [bars(places, lengths, "list -> passages")] if lengths else [],
            ),
            Section("The index", parts=[Table(("", ""), rows).html()]),
        ],
    )
