"""Operator -> every mapper: what it has loaded, what it answered lately, what nobody could map."""

from typing import Annotated

from msgspec import Meta

from trimtab.contracts.message import Message

MAX_SINCE_S = 48 * 3600.0
"""How far back a mapper counts."""

MAX_UNMAPPED = 1000
"""Most distinct unmapped outputs that a mapper tells."""


class MappersRequest(Message, frozen=True, kw_only=True):
    """Operator -> every mapper (``trimtab.op.v1.mappers``, broadcast)."""

    since_s: Annotated[float, Meta(gt=0, le=MAX_SINCE_S)] = 24 * 3600.0
    """Counts of the last so many seconds, in steps of ten minutes."""
    unmapped: Annotated[int, Meta(ge=0, le=MAX_UNMAPPED)] = 0
    """How many of the most frequent unmapped outputs are wanted."""


class ServedTaxonomy(Message, frozen=True, kw_only=True):
    """One taxonomy that a mapper answers in, under one component."""

    component: str
    """Component version that requests ask for, as in its release."""
    component_hash: str
    """sha256 of its manifest; empty when the rules of the worker's own files serve without it."""
    taxonomy: str
    """Name that requests ask for."""
    versions: dict[str, str]
    """taxonomy, frameworks, detectors, adapter, calibration and rules: ``name@version+hash`` of each."""


class LabelCount(Message, frozen=True, kw_only=True):
    """Answers in which a label came out."""

    taxonomy: str
    """Of the label."""
    label: str
    """Canonical name."""
    answers: Annotated[int, Meta(ge=1)]
    """How many."""


class ControlCount(Message, frozen=True, kw_only=True):
    """Answers whose labels bear on a control."""

    taxonomy: str
    """Of the labels."""
    framework: str
    """For example ``SOC2``."""
    control: str
    """Its number."""
    answers: Annotated[int, Meta(ge=1)]
    """How many: one with two such labels counts once."""


class Unmapped(Message, frozen=True, kw_only=True):
    """An output that nobody knew, and how often it came."""

    detector: str
    """Declared name, ``text`` or ``other``."""
    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
    """First 16 hex digits of the output's sha256."""
    length: Annotated[int, Meta(ge=0)]
    """Characters of the output."""
    reason: str
    """Why the model did not decide; ``none`` when it was asked and knew nothing."""
    count: Annotated[int, Meta(ge=1)]
    """Answers since the worker started; once more outputs came than are counted, at most this many."""
    output: str = ""
    """The label itself, only where the detector's file allows it and it looks like a label."""


class MapperState(Message, frozen=True, kw_only=True):
    """One mapper -> operator. No text of any request is in it."""

    instance: str
    """Which process."""
    revision: int
    """Control revision it obeys."""
    served: list[ServedTaxonomy]
    """By component, then taxonomy."""
    refused: dict[str, str]
    """Component -> why it was not loaded, or not whole."""
    counted_from: float
    """Unix seconds from which on the following counts are: the start of the worker or of the window."""
    answers: Annotated[int, Meta(ge=0)]
    """Requests answered in that time."""
    beyond: Annotated[int, Meta(ge=0)]
    """Of these, not counted by label, because too many combinations of labels came."""
    labels: list[LabelCount]
    """Most frequent first."""
    controls: list[ControlCount]
    """Most frequent first; by the frameworks loaded now."""
    unmapped: list[Unmapped]
    """Most frequent first."""
