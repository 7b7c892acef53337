"""``python -m services.mapper.reporting FOLDER``: what a component's confidence means, as JSON and as a page.

Asked for by `trimtab mapper report`. Everything in it was measured on held-out examples when the
component was trained, or is measured now on examples that somebody brings; no text is in it.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.mapper import measuring
from services.mapper.alone import add_alone
from services.mapper.command import add_json, finish, report
from services.mapper.model.component import (
    SHIPPED,
    CalibrationCard,
    load_calibration,
    load_component,
    load_report,
)
from services.mapper.model.held import (
    PRECISION,
    Bin,
    DetectorHeld,
    HeldOut,
    Point,
    lowest_precise,
    most_f1,
)
from trimtab.artifacts.manifest import ArtifactMissing, read_manifest
from trimtab.corpus.vectors import add_options
from trimtab.evaluation import chart
from trimtab.evaluation.page import Section, Table, page
from trimtab.supervisor.home import Home

_DRAWN = 4
"""Detectors in the chart, those with the most answers: more lines cannot be told apart."""


def find(asked: str, adapters: Path) -> Path:
    """Return the folder of a component: a path, or a reference in ``adapters`` or among the shipped.

    Raises:
        ArtifactMissing: there is none.
    """
    named = asked if "@" in asked else f"{asked}@1"
    for folder in (Path(asked), adapters / named, SHIPPED / named):
        if (folder / "manifest.json").is_file():
            return folder
    raise ArtifactMissing(f"component {asked}")


def shape(reference: str, card: CalibrationCard, held: HeldOut) -> dict[str, Any]:
    """Return the report for scripts."""
    return {
        "component": reference,
        "calibration": card.kind,
        "answers": held.answers,
        "top1": held.top1,
        "top3": held.top3,
        "errors": held.errors,
        "distances": held.distances,
        "thresholds": _recommended(held.curve),
        "curve": [_point(point) for point in held.curve],
        "detectors": {name: _of_detector(part) for name, part in held.detectors.items()},
        "before": held.before,
        "after": held.after,
    }


def _recommended(points: Sequence[Point]) -> dict[str, dict[str, float] | None]:
    precise = lowest_precise(points)
    return {
        "max_f1": _point(most_f1(points)),
        "precision_95": _point(precise) if precise is not None else None,
    }


def _of_detector(part: DetectorHeld) -> dict[str, Any]:
    return {
        "answers": part.answers,
        "top1": part.top1,
        "error": part.error,
        "thresholds": _recommended(part.curve),
        "curve": [_point(point) for point in part.curve],
    }


def _point(point: Point) -> dict[str, float]:
    return {
        "threshold": point.threshold,
        "coverage": point.coverage,
        "precision": point.precision,
        "recall": point.recall,
        "f1": round(point.f1, 4),
    }


def lines(told: dict[str, Any]) -> list[str]:
    """Return it for people."""
    found = [
        f"{told['component']}: {told['answers']} answers to what it never saw, {told['top1']:.1%} right, "
        f"{told['top3']:.1%} among the three best",
        f"{told['calibration']} calibration: error {told['errors']['raw']:.4f} before, "
        f"{told['errors'][told['calibration']]:.4f} after",
    ]
    names = {"max_f1": "greatest F1", "precision_95": f"{PRECISION:.0%} precision"}
    for key, name in names.items():
        at = told["thresholds"][key]
        found.append(
            f"{name}: at no threshold"
            if at is None
            else f"{name}: threshold {at['threshold']:.2f}, answers {at['coverage']:.1%}, "
            f"{at['precision']:.1%} of them right, F1 {at['f1']:.3f}"
        )
    return [*found, *(_detector_line(*each) for each in told["detectors"].items())]


def _detector_line(name: str, part: dict[str, Any]) -> str:
    places = ["-" if at is None else f"{at['threshold']:.2f}" for at in part["thresholds"].values()]
    return (
        f"{name}: {part['answers']} answers, {part['top1']:.1%} right, error {part['error']:.4f}, "
        f"threshold {places[0]} for the greatest F1, {places[1]} for {PRECISION:.0%} precision"
    )


def document(reference: str, card: CalibrationCard, held: HeldOut) -> str:
    """Return the page."""
    told = shape(reference, card, held)
    every = held.curve[::5]
    places = [f"{point.threshold:.2f}" for point in every]
    return page(
        f"Confidence of {reference}",
        " · ".join(lines(told)),
        [],
        [
            Section(
                "Thresholds",
                "What is left of the texts, and how much of it is right, when answers below a "
                "confidence are left to the rules.",
                [
                    chart.lines(
                        places,
                        [
                            chart.Line("coverage", [100 * point.coverage for point in every]),
                            chart.Line("precision", [100 * point.precision for point in every]),
                            chart.Line("F1", [100 * point.f1 for point in every]),
                        ],
                        [chart.Mark(f"{PRECISION:.0%} precision", 100 * PRECISION)],
                        "%, by threshold",
                    ),
                    _thresholds(told),
                ],
            ),
            *_by_detector(held),
            Section(
                "Calibration",
                "Share of right answers by confidence; a calibrated confidence is that share.",
                [_reliability(held), _kinds(held, card), _bins(held.after)],
            ),
        ],
    )


def _thresholds(told: dict[str, Any]) -> str:
    head = ("threshold for", "threshold", "coverage", "precision", "recall", "F1")
    rows = []
    for name, at in told["thresholds"].items():
        numbers = [at[key] for key in head[1:5]] + [at["f1"]] if at is not None else ["-"] * 5
        rows.append([name, *(f"{n:.3f}" if isinstance(n, float) else n for n in numbers)])
    return Table(head, rows).html()


def _by_detector(held: HeldOut) -> list[Section]:
    """Return what each detector's own outputs say of a threshold; nothing where examples name none."""
    if not held.detectors:
        return []
    largest = sorted(held.detectors.items(), key=lambda each: -each[1].answers)[:_DRAWN]
    every = held.curve[::5]
    curves = [
        chart.Line(name, [100 * point.coverage for point in part.curve[::5]])
        for name, part in largest
    ]
    head = ("detector", "answers", "right", "error", "for max F1", f"for {PRECISION:.0%} precision")
    rows = [
        [
            name,
            str(part.answers),
            f"{part.top1:.3f}",
            f"{part.error:.4f}",
            f"{most_f1(part.curve).threshold:.2f}",
            "-" if (at := lowest_precise(part.curve)) is None else f"{at.threshold:.2f}",
        ]
        for name, part in held.detectors.items()
    ]
    text = (
        "The same thresholds by detector: `trimtab set mapper.threshold VALUE --detector NAME` sets one. "
        "Few answers say little."
    )
    drawn = chart.lines(
        [f"{point.threshold:.2f}" for point in every], curves, [], "% answered, by threshold"
    )
    return [Section("By detector", text, [drawn, Table(head, rows).html()])]


def _reliability(held: HeldOut) -> str:
    places = [f"{place / 10 + 0.05:.2f}" for place in range(len(held.after))]
    ideal = [100 * float(place) for place in places]
    curves = [chart.Line("ideal", ideal)]
    for name, told in (("before", held.before), ("after", held.after)):
        shares = [
            each.right if each.answers else float(place)
            for each, place in zip(told, places, strict=True)
        ]
        curves.append(chart.Line(name, [100 * share for share in shares]))
    return chart.lines(places, curves, [], "% right, by confidence")


def _kinds(held: HeldOut, card: CalibrationCard) -> str:
    rows = [
        [
            f"{name} (taken)" if name == card.kind else name,
            f"{error:.4f}",
            f"{held.distances[name]:.4f}",
        ]
        for name, error in held.errors.items()
    ]
    return Table(("calibration", "expected error", "Brier score"), rows).html()


def _bins(after: Sequence[Bin]) -> str:
    rows = [
        [
            f"{place / 10:.1f} - {place / 10 + 0.1:.1f}",
            str(b.answers),
            f"{b.confidence:.3f}",
            f"{b.right:.3f}",
        ]
        for place, b in enumerate(after)
    ]
    return Table(("confidence", "answers", "mean confidence", "right"), rows).html()


def _measured(folder: Path, given: argparse.Namespace) -> tuple[CalibrationCard, HeldOut]:
    component, card = load_component(folder), load_calibration(folder)
    return card, asyncio.run(measuring.run(given, component, card.kind, report))


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="python -m services.mapper.reporting", description=__doc__)
    made.add_argument("component", help="folder, or name@version in the home or among the shipped")
    made.add_argument("--page", type=Path, help="HTML file to write")
    made.add_argument("--examples", type=Path, help="measure it on these, which it never saw")
    made.add_argument("--taxonomy", default="", help="of them: YAML file, or one imported here")
    add_json(made)
    add_options(made)
    add_alone(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 1 with one line on stderr when it cannot be done."""
    given = parser().parse_args(argv)

    def work() -> tuple[Any, list[str]]:
        folder = find(given.component, Home.find().root / "adapters")
        card, held = load_report(folder) if given.examples is None else _measured(folder, given)
        reference = read_manifest(folder).reference
        told = shape(reference, card, held)
        if given.page is None:
            return told, lines(told)
        given.page.parent.mkdir(parents=True, exist_ok=True)
        given.page.write_text(document(reference, card, held), encoding="utf-8")
        return {**told, "page": str(given.page)}, [*lines(told), f"wrote {given.page}"]

    return finish(work, as_json=given.json)


if __name__ == "__main__":
    sys.exit(main())
