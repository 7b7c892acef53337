"""Framework controls: which numbered controls of SOC 2, ISO 27001 or HIPAA a finding of a label bears on.

A versioned file of its own beside the taxonomy, checked against it: every label is mapped or said to
bear on nothing, and a number that its framework cannot have is refused.
"""

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from services.mapper.definitions.document import DefinitionInvalid, Section, read_section
from services.mapper.definitions.taxonomy import Taxonomy

Controls = Mapping[str, tuple[str, ...]]
"""Framework -> control numbers."""


@dataclass(frozen=True, slots=True)
class Frameworks:
    """The controls of every label of one taxonomy."""

    name: str
    """Of the file: ``ai-safety-controls``."""
    version: str
    """Its author's version; :attr:`hash` tells two contents of one version apart."""
    forms: Mapping[str, str]
    """Framework -> regular expression of its control numbers, in the order of the file."""
    labels: Mapping[str, Controls]
    """Label -> its controls; empty for one that is said to bear on none."""
    hash: str
    """sha256 of the content, first 12 hex digits."""
    _empty: Controls = field(default_factory=dict)

    @property
    def reference(self) -> str:
        """``ai-safety-controls@1+3f2a9c1b22d0``: name, version and content."""
        return f"{self.name}@{self.version}+{self.hash}"

    def controls_of(
        self, labels: Sequence[str], wanted: Collection[str] | None = None
    ) -> dict[str, list[str]]:
        """Return the controls that any of the labels bears on, by framework, in label order.

        ``wanted`` are the frameworks asked for; None: all of them.
        """
        found: dict[str, dict[str, None]] = {}
        for name in labels:
            for framework, numbers in self.labels.get(name, self._empty).items():
                if wanted is None or framework in wanted:
                    found.setdefault(framework, {}).update(dict.fromkeys(numbers))
        return {framework: list(numbers) for framework, numbers in found.items()}

    def labels_of(self, framework: str) -> dict[str, list[str]]:
        """Return the labels that bear on each control of a framework, by control number."""
        found: dict[str, list[str]] = {}
        for label, controls in self.labels.items():
            for number in controls.get(framework, ()):
                found.setdefault(number, []).append(label)
        return dict(sorted(found.items()))


def load_frameworks(path: Path, taxonomy: Taxonomy) -> Frameworks:
    """Read and check the controls of a taxonomy.

    Raises:
        DefinitionInvalid: it is of another taxonomy, names a label or family that is not there, a
            framework that is not declared or a number that is none of it, or leaves a label out;
            says file and key.
    """
    top = read_section(path).only(
        "name", "version", "taxonomy", "frameworks", "families", "labels", "none"
    )
    if top.text("taxonomy") != taxonomy.name:
        raise top.wrong("taxonomy", f"is not {taxonomy.name}, whose labels are to be mapped")
    forms = _forms(top.section("frameworks"))
    labels = _mapped(top, taxonomy, forms)
    name, version = top.text("name"), top.text("version")
    told = {key: pattern.pattern for key, pattern in forms.items()}
    content = json.dumps([name, version, told, {k: dict(v) for k, v in labels.items()}])
    digest = hashlib.sha256(content.encode()).hexdigest()[:12]
    return Frameworks(name, version, told, labels, digest)


def _forms(section: Section) -> dict[str, re.Pattern[str]]:
    patterns = {}
    for name in section.values:
        try:
            patterns[name] = re.compile(section.text(name))
        except re.error as error:
            raise section.wrong(name, f"is not a regular expression: {error}") from None
    if not patterns:
        raise section.wrong("", "declares no framework")
    return patterns


def _mapped(
    top: Section, taxonomy: Taxonomy, forms: Mapping[str, re.Pattern[str]]
) -> dict[str, Controls]:
    families = _table(top.section("families"), forms)
    own = _table(top.section("labels"), forms)
    none = top.texts("none")
    _refuse_unknown(top, taxonomy, families, own, none)
    labels: dict[str, Controls] = {}
    for label in taxonomy.labels:
        controls = {**families.get(family_of(label), {}), **own.get(label, {})}
        if label in none:
            if own.get(label):
                raise top.wrong("none", f"{label} has controls under labels; leave one of them out")
            controls = {}
        elif not any(controls.values()):
            raise top.wrong("labels", f"{label} is missing; give it controls or list it under none")
        labels[label] = controls
    return labels


def _refuse_unknown(
    top: Section,
    taxonomy: Taxonomy,
    families: Mapping[str, Controls],
    own: Mapping[str, Controls],
    none: Sequence[str],
) -> None:
    known = {family_of(label) for label in taxonomy.labels}
    for family in families:
        if family not in known:
            raise top.wrong(f"families.{family}", f"is no family of taxonomy {taxonomy.name}")
    for key, names in (("labels", own), ("none", none)):
        for name in names:
            if name not in taxonomy.labels:
                raise top.wrong(f"{key}.{name}", f"is no label of taxonomy {taxonomy.name}")


def _table(section: Section, forms: Mapping[str, re.Pattern[str]]) -> dict[str, Controls]:
    return {name: _controls(section.section(name), forms) for name in section.values}


def _controls(section: Section, forms: Mapping[str, re.Pattern[str]]) -> Controls:
    controls = {}
    for framework in section.values:
        form = forms.get(framework)
        if form is None:
            raise section.wrong(framework, f"unknown framework; declared: {', '.join(forms)}")
        controls[framework] = section.texts(framework)
        for number in controls[framework]:
            if not form.fullmatch(number):
                raise section.wrong(framework, f"{number} is no control number of {framework}")
    return controls


def family_of(label: str) -> str:
    """Return what stands before the first dot of a label's name."""
    return label.partition(".")[0]


__all__ = ["Controls", "DefinitionInvalid", "Frameworks", "family_of", "load_frameworks"]
