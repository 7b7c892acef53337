"""What a model may answer: a JSON schema, and labels that exist. Nothing else reaches a reply."""

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema_rs

SCHEMA = Path(__file__).parent / "answer.schema.json"
"""The schema, also for engines that constrain a language model's output with it."""


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """A model's answer to one part, after it was found valid."""

    labels: tuple[str, ...]
    """Canonical labels, best first."""
    scores: Mapping[str, float]
    """0..1 of each label."""
    confidence: float
    """Calibrated probability that the best label is right."""


@dataclass(frozen=True, slots=True)
class AnswerCheck:
    """Judges raw answers against the schema and a taxonomy's labels."""

    validator: Any
    """Compiled from :data:`SCHEMA`."""
    labels: Collection[str]
    """Labels that exist."""

    @classmethod
    def of(cls, labels: Collection[str]) -> "AnswerCheck":
        """Compile the schema for a taxonomy's labels."""
        schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
        return cls(jsonschema_rs.Draft202012Validator(schema), frozenset(labels))

    def accept(self, raw: Mapping[str, Any]) -> ModelAnswer | None:
        """Return the answer, or None when any rule is broken."""
        if not _finite(raw) or not self.validator.is_valid(raw):
            return None
        labels = tuple(raw["taxonomy"])
        if set(labels) != set(raw["scores"]) or not all(label in self.labels for label in labels):
            return None
        return ModelAnswer(labels, dict(raw["scores"]), float(raw["confidence"]))


def _finite(raw: Mapping[str, Any]) -> bool:
    """Tell whether no number is NaN or infinite: JSON has neither, and validators disagree on them."""
    scores = raw.get("scores")
    numbers = [raw.get("confidence"), *(scores.values() if isinstance(scores, Mapping) else ())]
    return all(math.isfinite(number) for number in numbers if isinstance(number, float))
