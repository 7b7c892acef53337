"""Detectors: what a vendor's labels are called and which canonical labels they mean.

One YAML file per detector, checked against the taxonomy when it is loaded, so that no rule can
answer with a label that does not exist.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.mapper.definitions.document import DefinitionInvalid, Section, read_section
from services.mapper.definitions.names import normalise
from services.mapper.definitions.patterns import PatternRefused, compile_pattern
from services.mapper.definitions.taxonomy import Taxonomy

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")

_TELLABLE = re.compile(r"(?=.{1,48}\Z)(?!.*\d{4})[A-Za-z][A-Za-z0-9]*(?:[_./:-][A-Za-z0-9]+){0,4}")
"""What may be told: no sentence, no address, no number that could be a person's."""

KEYS = (
    "name",
    "version",
    "source",
    "separators",
    "prefixes",
    "wrappers",
    "labels",
    "aliases",
    "patterns",
    "severity",
    "label_only",
    "tell_unmapped",
)
"""What a detector's file may hold, in this order."""

Labels = tuple[str, ...]
"""Canonical labels that one output means; most mean one."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A declared pattern over whole outputs."""

    expression: re.Pattern[str]
    """Tried with fullmatch."""
    labels: Labels
    """What a match means."""
    priority: int
    """Higher is tried first; equal ones in the order of the file."""


@dataclass(frozen=True, slots=True)
class Severity:
    """A suffix that grades a label: ``Hate:4``, ``violence severity 6``."""

    words: frozenset[str]
    """Words that may stand before the level: severity, level."""
    levels: frozenset[str]
    """Levels that keep the label."""
    none: frozenset[str]
    """Levels that say that nothing was found."""
    none_label: str
    """What such a level means."""


@dataclass(frozen=True, slots=True)
class Detector:
    """One detector's declared outputs."""

    name: str
    """What requests call it: ``openai-moderation``."""
    version: str
    """Its author's version."""
    source: str
    """Where the vendor publishes the label set."""
    exact: Mapping[str, Labels]
    """Vendor label as published -> canonical labels."""
    normalised: Mapping[str, Labels]
    """The same under :func:`~services.mapper.definitions.names.normalise`."""
    aliases: Mapping[str, Labels]
    """Normalised alias -> canonical labels."""
    patterns: tuple[Pattern, ...]
    """Highest priority first."""
    severity: Severity | None
    """None when the detector grades nothing."""
    separators: tuple[str, ...]
    """What separates several labels in one output, beside ``|``."""
    prefixes: tuple[str, ...]
    """What stands before a label in a flattened response: ``categories.``"""
    wrappers: tuple[str, ...]
    """Pairs of characters around a label, as masked text has them: ``[]``."""
    label_only: bool
    """Whether its outputs are labels, so that free text from it is refused; true unless the file says otherwise."""
    hash: str
    """sha256 of the content, first 12 hex digits."""
    tell_unmapped: bool = False
    """Whether operators may be told a label of it that nobody knew; else its hash and length alone."""

    @property
    def reference(self) -> str:
        """``openai-moderation@1+3f2a9c1b22d0``."""
        return f"{self.name}@{self.version}+{self.hash}"

    def tells(self, output: str) -> bool:
        """Return whether an unmapped output of it may be told: a name without spaces and without long numbers."""
        return self.tell_unmapped and _TELLABLE.fullmatch(output) is not None

    def bare(self, name: str) -> str | None:
        """Return the label inside a declared pair or behind a declared prefix; None without either."""
        for pair in self.wrappers:
            if len(name) > 2 and name[0] + name[-1] == pair:
                return name[1:-1]
        for prefix in self.prefixes:
            if len(name) > len(prefix) and name.startswith(prefix):
                return name[len(prefix) :]
        return None


@dataclass(frozen=True, slots=True)
class Detectors:
    """Every declared detector."""

    by_name: Mapping[str, Detector]
    """By the name that requests use."""
    hash: str
    """sha256 over all of them, first 12 hex digits."""

    def get(self, name: str) -> Detector | None:
        """Return the detector; None when nobody declared it."""
        return self.by_name.get(name)


def load_detectors(folder: Path, taxonomy: Taxonomy) -> Detectors:
    """Read and check every ``*.yaml`` of a folder.

    Raises:
        DefinitionInvalid: an unknown key, a label that the taxonomy does not have, one name with
            two meanings, or a pattern that is not allowed; says file and key.
    """
    detectors: dict[str, Detector] = {}
    for path in sorted(folder.glob("*.yaml")):
        detector = load_detector(path, taxonomy)
        if detector.name in detectors or path.stem != detector.name:
            raise DefinitionInvalid(path, "name", "must be unique and equal to the file's name")
        detectors[detector.name] = detector
    return Detectors(detectors, _digest([d.reference for d in detectors.values()]))


def load_detector(path: Path, taxonomy: Taxonomy) -> Detector:
    """Read and check one detector; raises DefinitionInvalid like :func:`load_detectors`."""
    top = read_section(path).only(*KEYS)
    name = top.text("name")
    if not NAME.fullmatch(name):
        raise top.wrong("name", "must be lower-case letters, digits and dashes")
    exact = _exact(top.section("labels"), taxonomy)
    normalised = _table(top.section("labels"), exact)
    return Detector(
        name=name,
        version=top.text("version"),
        source=top.text("source"),
        exact=exact,
        normalised=normalised,
        aliases=_aliases(top.section("aliases"), exact, normalised),
        patterns=_patterns(top.sections("patterns"), exact),
        severity=_severity(top, taxonomy),
        separators=_texts(top, "separators"),
        prefixes=_texts(top, "prefixes"),
        wrappers=_wrappers(top),
        label_only=top.flag("label_only", default=True),
        hash=_digest(top.values),
        tell_unmapped=_tells(top),
    )


def _exact(section: Section, taxonomy: Taxonomy) -> dict[str, Labels]:
    exact = {}
    for vendor in section.values:
        exact[vendor] = section.texts(vendor)
        for label in exact[vendor]:
            if label not in taxonomy.labels:
                raise section.wrong(vendor, f"{label} is no label of taxonomy {taxonomy.name}")
    if not exact:
        raise section.wrong("", "declares no label")
    return exact


def _table(section: Section, names: Mapping[str, Labels]) -> dict[str, Labels]:
    table: dict[str, Labels] = {}
    for name, labels in names.items():
        key = normalise(name)
        if not key:
            raise section.wrong(name, "has no letters or digits")
        if table.setdefault(key, labels) != labels:
            raise section.wrong(name, "means something else in another spelling")
    return table


def _meant(section: Section, key: str, exact: Mapping[str, Labels]) -> Labels:
    vendor = section.text(key)
    if vendor not in exact:
        raise section.wrong(key, f"{vendor} is none of this detector's labels")
    return exact[vendor]


def _aliases(
    section: Section, exact: Mapping[str, Labels], normalised: Mapping[str, Labels]
) -> dict[str, Labels]:
    meanings = {alias: _meant(section, alias, exact) for alias in section.values}
    table = _table(section, meanings)
    for alias, labels in meanings.items():
        if normalised.get(normalise(alias), labels) != labels:
            raise section.wrong(alias, "is also a label of this detector, with another meaning")
    return table


def _patterns(sections: list[Section], exact: Mapping[str, Labels]) -> tuple[Pattern, ...]:
    patterns = []
    for section in sections:
        section.only("pattern", "label", "priority")
        try:
            expression = compile_pattern(section.text("pattern"))
        except PatternRefused as error:
            raise section.wrong("pattern", str(error)) from None
        labels = _meant(section, "label", exact)
        patterns.append(Pattern(expression, labels, section.integer("priority", 0)))
    return tuple(sorted(patterns, key=lambda pattern: -pattern.priority))


def _severity(top: Section, taxonomy: Taxonomy) -> Severity | None:
    if "severity" not in top.values:
        return None
    section = top.section("severity").only("words", "levels", "none", "none_label")
    label = section.text("none_label")
    if label not in taxonomy.labels:
        raise section.wrong("none_label", f"{label} is no label of taxonomy {taxonomy.name}")
    levels = frozenset(map(normalise, section.texts("levels")))
    none = frozenset(map(normalise, section.texts("none")))
    if levels & none:
        raise section.wrong("none", "a level cannot both keep the label and deny it")
    return Severity(frozenset(map(normalise, section.texts("words"))), levels, none, label)


def _texts(top: Section, key: str) -> tuple[str, ...]:
    """Return a list of texts as they stand, blanks included: a line break may separate labels."""
    value = top.values.get(key, [])
    if not isinstance(value, list) or not all(isinstance(s, str) and s for s in value):
        raise top.wrong(key, "must be a list of non-empty texts")
    return tuple(value)


def _wrappers(top: Section) -> tuple[str, ...]:
    pairs = _texts(top, "wrappers")
    if any(len(pair) != 2 for pair in pairs):
        raise top.wrong("wrappers", "must be pairs of two characters, like []")
    return pairs


def _tells(top: Section) -> bool:
    """Return whether unmapped labels may be told: only of a detector whose file says that it says labels alone."""
    tells = top.flag("tell_unmapped")
    if tells and top.values.get("label_only") is not True:
        raise top.wrong("tell_unmapped", "needs `label_only: true` beside it: texts are never told")
    return tells


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
