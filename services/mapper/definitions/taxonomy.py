"""A taxonomy: the labels that may come out, and what each means.

Read from YAML once, frozen, and known by a hash of everything that can change an answer.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.mapper.definitions.document import DefinitionInvalid, Section, read_section
from services.mapper.definitions.names import normalise
from trimtab.contracts.mapping import UNKNOWN

LABEL_NAME = re.compile(r"[A-Z][A-Z0-9_]*(\.[A-Za-z0-9_]+)*")
"""What a label may be called: ``FAMILY.GROUP.Label``."""

_MOVED = ("frameworks", "controls")
"""Keys of files of before; controls stand in a file of their own beside the taxonomy."""


@dataclass(frozen=True, slots=True)
class Label:
    """One canonical label."""

    name: str
    """``HARM.SPEECH.Hate``."""
    description: str
    """What it covers, one or two sentences."""
    aliases: tuple[str, ...]
    """Other whole names of exactly this label."""
    vague: bool
    """Says nothing beside a more specific label: ``OTHER.Unspecified``."""
    title: str = ""
    """Name for people where labels are numbers: ``Steganography``; several may share one."""
    parent: str = ""
    """The more general label that it is a kind of; empty at the top."""
    tactics: tuple[str, ...] = ()
    """What it is done for, of the taxonomy's own list; a label may serve several."""

    @property
    def text(self) -> str:
        """What texts are compared with: the title, when there is one, and the description."""
        return f"{self.title}. {self.description}" if self.title else self.description


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """A versioned set of labels."""

    name: str
    """What requests ask for: ``ai-safety``."""
    version: str
    """Its author's version; :attr:`hash` tells two contents of one version apart."""
    labels: Mapping[str, Label]
    """By name, in the order of the file; ``OTHER.Unknown`` is always one of them."""
    by_name: Mapping[str, str]
    """Normalised alias or label name -> label name."""
    hash: str
    """sha256 of the content, first 12 hex digits."""
    tactics: Mapping[str, str] = field(default_factory=dict)
    """Tactic -> what it is, in the order of the file; empty where nobody groups labels so."""

    @property
    def reference(self) -> str:
        """``ai-safety@1+3f2a9c1b22d0``: name, version and content."""
        return f"{self.name}@{self.version}+{self.hash}"


def load_taxonomy(path: Path) -> Taxonomy:
    """Read and check a taxonomy.

    Raises:
        DefinitionInvalid: an unknown key, a malformed label, an alias with two meanings, a parent or
            tactic that is not there, or no ``OTHER.Unknown``; says file and key.
    """
    top = _own(read_section(path)).only("name", "version", "tactics", "families")
    tactics = top.section("tactics")
    labels: dict[str, Label] = {}
    families = top.section("families")
    for family in families.values:
        section = _own(families.section(family)).only("description", "labels")
        for label in _labels_of(section, family):
            if label.name in labels:
                raise section.wrong(f"labels.{label.name}", "stands in two families")
            labels[label.name] = label
    if UNKNOWN not in labels:
        raise top.wrong("families", f"the label {UNKNOWN} is missing; every taxonomy needs it")
    _check_places(top, labels, tactics)
    return Taxonomy(
        name=top.text("name"),
        version=top.text("version"),
        labels=labels,
        by_name=_by_name(path, labels),
        hash=_content_hash(labels),
        tactics={tactic: tactics.text(tactic) for tactic in tactics.values},
    )


def _own(section: Section) -> Section:
    """Return the section; says where controls stand now when it still has some."""
    for key in _MOVED:
        if key in section.values:
            problem = "controls stand in a frameworks file beside the taxonomy; move them there"
            raise section.wrong(key, problem)
    return section


def _labels_of(family: Section, name: str) -> list[Label]:
    family.text("description")
    labels = family.section("labels")
    found = []
    for label in labels.values:
        section = _own(labels.section(label)).only(
            "title", "description", "aliases", "vague", "parent", "tactics"
        )
        if not LABEL_NAME.fullmatch(label) or label.split(".")[0] != name:
            raise labels.wrong(label, f"must be called {name}.Something, of letters, digits and _")
        found.append(
            Label(
                name=label,
                description=" ".join(section.text("description").split()),
                aliases=section.texts("aliases"),
                vague=section.flag("vague"),
                title=section.text("title", ""),
                parent=section.text("parent", ""),
                tactics=section.texts("tactics"),
            )
        )
    return found


def _check_places(top: Section, labels: Mapping[str, Label], tactics: Section) -> None:
    """Refuse a label below one that is not there or below itself, and a tactic that nobody declared."""
    for label in labels.values():
        above, seen = label.parent, {label.name}
        while above:
            if above not in labels:
                raise top.wrong(f"labels.{label.name}.parent", f"{above} is no label")
            if above in seen:
                raise top.wrong(f"labels.{label.name}.parent", "leads back to the label itself")
            seen.add(above)
            above = labels[above].parent
        for tactic in label.tactics:
            if tactic not in tactics.values:
                raise top.wrong(
                    f"labels.{label.name}.tactics", f"{tactic} is not declared under tactics"
                )


def _by_name(path: Path, labels: Mapping[str, Label]) -> dict[str, str]:
    table: dict[str, str] = {}
    for label in labels.values():
        for alias in (label.name, *label.aliases):
            key = normalise(alias)
            if not key:
                raise DefinitionInvalid(path, label.name, f"alias {alias!r} has no letters")
            if table.setdefault(key, label.name) != label.name:
                raise DefinitionInvalid(
                    path, label.name, f"alias {alias!r} already means {table[key]}"
                )
    return table


def _content_hash(labels: Mapping[str, Label]) -> str:
    content = [_content(label) for label in labels.values()]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def _content(label: Label) -> list[object]:
    """Return everything of a label that can change an answer.

    What a label does not say is left out, so that a taxonomy without parents keeps its hash.
    """
    told: list[object] = [label.name, label.description, label.aliases, label.vague]
    places = {"title": label.title, "parent": label.parent, "tactics": label.tactics}
    said = {name: value for name, value in places.items() if value}
    return [*told, said] if said else told
