"""A first file for a new detector: each of the vendor's labels with the canonical label that is nearest, to be reviewed. Pure.

A name that the taxonomy knows is taken; any other gets the label whose description is nearest by cosine. Every line
is marked, and `detectors lint` refuses the file until a person has looked at each of them.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.mapper.definitions.names import normalise
from services.mapper.definitions.taxonomy import Taxonomy
from services.mapper.linting.lint import REVIEW
from services.mapper.model.network import Array
from trimtab.contracts.mapping import UNKNOWN, text_of

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_WORDS_OF_YAML = {"yes", "no", "on", "off", "true", "false", "null", "y", "n"}


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What one of the vendor's labels may mean."""

    name: str
    """As the vendor writes it."""
    label: str
    """The nearest canonical label."""
    because: str
    """In words: a known name, or how near it and the next one are."""


def known(names: Sequence[str], taxonomy: Taxonomy) -> dict[str, Suggestion]:
    """Return the suggestions that need no vectors: names of the taxonomy's own."""
    return {
        name: Suggestion(name, taxonomy.by_name[normalise(name)], "a name of that label")
        for name in names
        if normalise(name) in taxonomy.by_name
    }


def texts(names: Sequence[str], detector: str, taxonomy: Taxonomy) -> list[str]:
    """Return what vectors are needed of: each name in words, then the description of each label."""
    return [text_of(detector, name) for name in names] + [
        label.text for label in taxonomy.labels.values()
    ]


def nearest(names: Sequence[str], vectors: Array, taxonomy: Taxonomy) -> dict[str, Suggestion]:
    """Return the nearest label of each name.

    ``vectors`` are the unit rows of :func:`texts`; ``OTHER.Unknown`` is never suggested.
    """
    labels = list(taxonomy.labels)
    cosines = vectors[: len(names)] @ vectors[len(names) :].T
    cosines[:, labels.index(UNKNOWN)] = -1.0
    found = {}
    for name, row in zip(names, cosines, strict=True):
        best, second = np.argsort(-row, kind="stable")[:2]
        because = f"cosine {row[best]:.2f}, next {labels[second]} {row[second]:.2f}"
        found[name] = Suggestion(name, labels[best], because)
    return found


def document(name: str, version: str, source: str, suggestions: Sequence[Suggestion]) -> str:
    """Return the file's text."""
    width = max(len(_key(each.name)) + len(each.label) for each in suggestions) + 3
    lines = [
        f"# {name}: labels as the vendor publishes them. Look at every line, correct it, and take its mark away;",
        "# then declare what is missing: aliases, a severity with the levels that say that nothing was found.",
        f"name: {name}",
        f"version: {json.dumps(version)}",
        f"source: {source}",
        "labels:",
    ]
    for each in suggestions:
        pair = f"{_key(each.name)}: {each.label}"
        lines.append(f"  {pair:<{width}}{REVIEW} {each.because}")
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    """Return a name as a YAML key, quoted where it could be read as something else."""
    plain = _PLAIN.fullmatch(name) and name.casefold() not in _WORDS_OF_YAML
    return name if plain else json.dumps(name, ensure_ascii=False)
