"""Applying a plan to the files that name labels: detectors, examples, golden cases, controls. Pure: text to text.

A file that names no moved label comes out byte for byte. Where an old label became several, its default
stands and the place is reported; what was said of a removed label is ``OTHER.Unknown`` in rules and golden
cases, and no example any more: nothing shall be trained to be unknown.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from services.mapper.definitions.frameworks import Frameworks
from services.mapper.migration.plan import Plan

_WIDTH = 100
_LABELS = ("label", "labels", "expected")
"""Fields of a row that hold labels."""


@dataclass(frozen=True, slots=True)
class Moved:
    """One file after the plan."""

    text: str
    """Its new content."""
    changed: int = 0
    """Places that name another label now."""
    dropped: int = 0
    """Rows that are gone, because their label is."""
    decide: Sequence[str] = field(default_factory=tuple)
    """Places where one of several new labels was taken: somebody must look."""


def moved_detector(text: str, plan: Plan) -> Moved:
    """Apply a plan to a detector's YAML; comments stay unless two labels of one output became the same."""
    before = yaml.safe_load(text)
    after, places = _detector(before, plan)
    if after == before:
        return Moved(text)
    decide = [
        f"{vendor}: {plan.splits[old].default}" for vendor, old in places if old in plan.splits
    ]
    replaced = _replaced(text, plan.moves())
    if yaml.safe_load(replaced) != after:
        replaced = yaml.safe_dump(after, sort_keys=False, allow_unicode=True, width=_WIDTH)
    return Moved(replaced, changed=len(places), decide=decide)


def _detector(given: Any, plan: Plan) -> tuple[Any, list[tuple[str, str]]]:
    """Return a detector's values after the plan, and (vendor label, old label) of each change."""
    moves, places = plan.moves(), []
    labels = {}
    for vendor, meant in given.get("labels", {}).items():
        olds = [meant] if isinstance(meant, str) else list(meant)
        news = list(dict.fromkeys(moves.get(old, old) for old in olds))
        places += [(vendor, old) for old in olds if old in moves]
        labels[vendor] = news[0] if isinstance(meant, str) or len(news) == 1 < len(olds) else news
    after = {**given, "labels": labels}
    severity = given.get("severity")
    if isinstance(severity, dict) and severity.get("none_label") in moves:
        places.append(("none_label", severity["none_label"]))
        after["severity"] = {**severity, "none_label": moves[severity["none_label"]]}
    return after, places


def _replaced(text: str, moves: Mapping[str, str]) -> str:
    """Return the text with whole label names replaced, all at once, so that two may change places."""
    names = sorted(moves, key=len, reverse=True)
    pattern = re.compile(rf"(?<![\w.])(?:{'|'.join(map(re.escape, names))})(?![\w.])")
    return pattern.sub(lambda match: moves[match[0]], text)


def moved_examples(text: str, plan: Plan) -> Moved:
    """Apply a plan to examples, one JSON object a line; rows of a removed label are dropped."""
    removed = set(plan.removals)

    def keeps(row: Mapping[str, Any]) -> bool:
        return not removed.intersection(_labels(row))

    return _rows(text, plan, keeps)


def moved_cases(text: str, plan: Plan) -> Moved:
    """Apply a plan to golden cases, one JSON object a line; what a removed label was expected of is unknown."""
    return _rows(text, plan, lambda row: True)


def _rows(text: str, plan: Plan, keeps: Callable[[Mapping[str, Any]], bool]) -> Moved:
    moves, lines, decide = plan.moves(), [], []
    changed = dropped = 0
    for line in text.splitlines():
        row = json.loads(line) if line.strip() else {}
        if not keeps(row):
            dropped += 1
        elif moves.keys() & set(_labels(row)):
            changed += 1
            split = [old for old in _labels(row) if old in plan.splits]
            decide += [f"{row.get('id', '')}: {plan.splits[old].default}" for old in split]
            lines.append(json.dumps(_relabelled(row, moves), ensure_ascii=False))
        else:
            lines.append(line)
    return Moved("".join(f"{line}\n" for line in lines), changed, dropped, decide)


def _labels(row: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for name in _LABELS:
        value = row.get(name, [])
        found += [value] if isinstance(value, str) else value
    return found


def _relabelled(row: Mapping[str, Any], moves: Mapping[str, str]) -> dict[str, Any]:
    after = dict(row)
    for name in _LABELS:
        value = row.get(name)
        if isinstance(value, str):
            after[name] = moves.get(value, value)
        elif value is not None:
            after[name] = list(dict.fromkeys(moves.get(old, old) for old in value))
    return after


def moved_controls(found: Frameworks, plan: Plan, labels: Sequence[str]) -> Moved:
    """Apply a plan to the controls of a taxonomy whose new labels are ``labels``.

    A merged label bears on what any of its sources bore on, each of a split one's on what it did. Added
    labels are left out: the file is refused until somebody says what they bear on, or that they do not.
    """
    told = _controls(found, plan, labels)
    head = {"name": found.name, "version": found.version, "taxonomy": plan.taxonomy}
    body = {
        **head,
        "frameworks": dict(found.forms),
        "labels": {label: controls for label, controls in told.items() if controls},
        "none": [label for label, controls in told.items() if not controls],
    }
    text = yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=_WIDTH)
    decide = [f"{label}: no controls yet" for label in plan.additions]
    named = {*plan.moves(), *(new for each in plan.splits.values() for new in each.into)}
    return Moved(text, changed=len(named), decide=decide)


def _controls(
    found: Frameworks, plan: Plan, labels: Sequence[str]
) -> dict[str, dict[str, list[str]]]:
    origins: dict[str, list[str]] = {new: [old] for old, new in plan.renames.items()}
    origins |= {new: list(olds) for new, olds in plan.merges.items()}
    origins |= {new: [old] for old, split in plan.splits.items() for new in split.into}
    return {
        label: found.controls_of(origins.get(label, [label]))
        for label in labels
        if label not in plan.additions
    }
