"""What is known of every stored mapper component: its role in the deployment, how good it is, where it runs. Pure."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.artifacts.manifest import Manifest
from trimtab.contracts.control import ACTIVE_PHASES, Phase
from trimtab.contracts.samples import Sample
from trimtab.control.effective import Controls, banned_releases

KINDS = ("mapper", "mapper-rules")
"""Kinds of components that a release's ``map`` may name."""

STATUSES = ("stable", "canary", "previous", "candidate", "retired", "banned", "stored")
"""What a version may be: the first that holds of the releases that name it."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One component of the store."""

    manifest: Manifest
    """What it is."""
    quality: Mapping[str, Any]
    """What its card says of held-out examples; empty where there is none."""


def rows(
    stored: Sequence[Stored],
    controls: Controls,
    mappers: Sequence[Sample],
    now: float | None = None,
) -> list[dict[str, Any]]:
    """Return one row per version, for scripts; those that serve first."""
    found = [_row(each, controls, mappers, time.time() if now is None else now) for each in stored]
    return sorted(found, key=lambda row: (STATUSES.index(row["status"]), row["component"]))


def status_of(component: str, controls: Controls, now: float) -> str:
    """Return what a version is to the deployment.

    ``candidate``: a release names it that never served; ``retired``: one that served, or whose ramp
    was taken back; ``banned``: every release that names it is; ``stored``: no release names it.
    """
    state = controls.state
    named = {name for name, release in state.releases.items() if release.map == component}
    if not named:
        return "stored"
    if named <= banned_releases(controls, now):
        return "banned"
    if state.stable in named:
        return "stable"
    ramp = state.canary
    if ramp is not None and ramp.release in named:
        return (
            "canary" if ramp.phase in ACTIVE_PHASES else _after(ramp.phase, state.previous in named)
        )
    return "previous" if state.previous in named else "candidate"


def _after(phase: Phase, previous: bool) -> str:
    if previous:
        return "previous"
    return "retired" if phase in (Phase.ABORTED, Phase.ROLLED_BACK, Phase.PROMOTED) else "candidate"


def _row(
    stored: Stored, controls: Controls, mappers: Sequence[Sample], now: float
) -> dict[str, Any]:
    manifest = stored.manifest
    reference = manifest.reference
    releases = [
        name for name, release in controls.state.releases.items() if release.map == reference
    ]
    return {
        "component": reference,
        "kind": manifest.kind,
        "hash": manifest.hash,
        "status": status_of(reference, controls, now),
        "releases": sorted(releases),
        "workers": [
            sample.instance
            for sample in mappers
            if sample.components.get(reference) == manifest.hash
        ],
        "differs_on": [
            sample.instance
            for sample in mappers
            if sample.components.get(reference, manifest.hash) != manifest.hash
        ],
        "quality": dict(stored.quality),
    }


def quality_of(files: Mapping[str, Any]) -> dict[str, Any]:
    """Return a component's figures from its JSON files: n, split, top-1, calibration error.

    ``report.json`` knows most; an adapter without one has its training card and its calibration.
    """
    card, calibration, report = (
        files.get(name, {}) for name in ("adapter.json", "calibration.json", "report.json")
    )
    if not (card or calibration or report):
        return {}
    training = card.get("training", {})
    kind = calibration.get("kind", "")
    return {
        "answers": report.get("answers", calibration.get("answers")),
        "split": "held out by group",
        "top1": report.get("top1", training.get("held_out_accuracy")),
        "top3": report.get("top3"),
        "calibration": kind,
        "error_before": calibration.get("error_before"),
        "error_after": report.get("errors", {}).get(kind, calibration.get("error_after")),
        "taxonomy": card.get("taxonomy", ""),
    }


def line(row: Mapping[str, Any]) -> str:
    """Return a row for people."""
    told = row["quality"]
    figures = ""
    if told.get("top1") is not None:
        figures = f"n {told['answers']}, top-1 {told['top1']:.1%}, ECE {told['error_after']:.4f}"
    where = ", ".join(row["workers"]) or "nowhere"
    other = f"; OTHER CONTENT on {', '.join(row['differs_on'])}" if row["differs_on"] else ""
    parts = [row["status"], row["component"], row["hash"][:12], figures, f"on {where}{other}"]
    return "  ".join(part for part in parts if part)
