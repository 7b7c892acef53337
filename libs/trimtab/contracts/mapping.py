"""Gateway -> mapper: a text or a detector's output to labels of a taxonomy."""

import re
from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Meta

from trimtab.contracts.message import Message
from trimtab.contracts.tensor import Matrix

MAX_OUTPUT_CHARS = 8192
"""Longest detector output or text, characters."""

MAX_PARTS = 32
"""Most labels in one ``a|b`` aggregate."""

UNKNOWN = "OTHER.Unknown"
"""The label of what nobody recognised."""

FREE_TEXT = "text"
"""The detector's name when the output is free text, not a label."""


class MappingMode(StrEnum):
    """Whether the model may decide."""

    HYBRID = "hybrid"
    RULES_ONLY = "rules_only"


class FallbackReason(StrEnum):
    """Why the rules decided; exactly one per request."""

    KILL_SWITCH = "kill_switch"
    LOW_CONFIDENCE = "low_confidence"
    INVALID_OUTPUT = "invalid_output"
    MODEL_ERROR = "model_error"
    TIMEOUT = "timeout"
    CIRCUIT_OPEN = "circuit_open"
    UNKNOWN_DETECTOR = "unknown_detector"


Framework = Annotated[str, Meta(min_length=1, max_length=40)]
"""Name of a framework of controls: ``SOC2``."""

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z][a-z])")
_SEPARATORS = re.compile(r"[_/\-.:{}]+")

DecidedBy = Literal["model", "rules", "unknown"]


def parts_of(output: str) -> list[str]:
    """Split an ``a|b`` aggregate into its non-blank parts, in order, without repeats."""
    return list(dict.fromkeys(part.strip() for part in output.split("|") if part.strip()))


def text_of(detector: str, part: str) -> str:
    """Return what the encoder is given for one part of an output.

    A detector's label is spelled out as words: ``hate/threatening`` -> ``hate threatening``,
    ``SelfHarm`` -> ``Self Harm``. Free text, and anything with a space in it, stays as it is.
    """
    if detector == FREE_TEXT or any(map(str.isspace, part)):
        return part
    words = _SEPARATORS.sub(" ", _CAMEL.sub(" ", part)).strip()
    return words or part


class MapRequest(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Gateway -> mapper (``trimtab.v1.map.<component>``)."""

    taxonomy: str
    """Which taxonomy to answer in, for example ``ai-safety``."""
    detector: Annotated[str, Meta(min_length=1, max_length=64)]
    """Who said it, for example ``openai-moderation``; ``text`` for free text."""
    output: Annotated[str, Meta(max_length=MAX_OUTPUT_CHARS)]
    """What it said: a label, an ``a|b`` aggregate, or a text."""
    vectors: Matrix | None = None
    """One row per :func:`parts_of` ``output``; None leaves the decision to the rules."""
    mode: MappingMode = MappingMode.HYBRID
    """Whether the model may decide."""
    fallback: FallbackReason | None = None
    """Why there are no vectors, when the encoder was not to be had."""
    threshold: Annotated[float, Meta(ge=0.0, le=1.0)] | None = None
    """Confidence below which the rules decide; None takes the worker's setting."""
    frameworks: Annotated[list[Framework], Meta(max_length=16)] | None = None
    """Frameworks whose controls are wanted; None: every one that the taxonomy is mapped to."""


class MapReply(Message, frozen=True, kw_only=True):
    """Mapper -> gateway."""

    taxonomy: Annotated[list[str], Meta(min_length=1)]
    """Labels, best first; every one exists in the taxonomy, or it is ``OTHER.Unknown`` alone."""
    scores: dict[str, float]
    """Score 0..1 of each label."""
    confidence: Annotated[float, Meta(ge=0.0, le=1.0)]
    """Calibrated probability that the answer is right; the least of the parts'."""
    decided_by: DecidedBy
    """Model, rules, or nobody."""
    fallback_reason: FallbackReason | None
    """Why the model did not decide in its turn; None when it did, or a declared rule was certain."""
    mode: MappingMode
    """Echo of the mode in force."""
    versions: dict[str, str]
    """taxonomy, detectors, detector, adapter and rules: ``name@version+hash`` of each."""
    controls: dict[str, list[str]] = {}
    """Framework controls of the labels: framework -> control numbers."""
