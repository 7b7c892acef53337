"""How a component does on examples that somebody brings, and what its confidence is worth on them.

For components that were trained before reports were kept, and for whoever wants a threshold of their own texts.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from services.mapper.alone import vectors as vectors_of
from services.mapper.definitions.document import DefinitionInvalid
from services.mapper.definitions.taxonomy import load_taxonomy
from services.mapper.model.calibration import raw_confidence
from services.mapper.model.component import Component
from services.mapper.model.held import HeldOut, tell
from services.mapper.model.network import Array
from services.mapper.settings import MapperSettings
from services.mapper.train import taxonomy_file
from services.mapper.training.examples import Example, content_hash, load_examples, training_set

_AT_ONCE = 256
_DEEP = 3


def measure(
    component: Component, examples: Sequence[Example], vectors: Array, kind: str
) -> HeldOut:
    """Return how the component answers examples of one label each, (n, dimension) vectors beside them.

    A label that the component does not know is one that it gets wrong. ``kind`` names its calibration.
    """
    adapter, labels = component.adapter, np.array(component.adapter.labels)
    right, among = np.zeros(len(examples), dtype=bool), np.zeros(len(examples), dtype=bool)
    raw, sure = np.zeros(len(examples)), np.zeros(len(examples))
    for start in range(0, len(examples), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        logits = adapter.logits(vectors[rows], [each.text for each in examples[rows]])
        best = labels[np.argsort(-logits, axis=1, kind="stable")[:, :_DEEP]]
        wanted = np.array([[each.labels[0]] for each in examples[rows]])
        right[rows], among[rows] = best[:, 0] == wanted[:, 0], (best == wanted).any(axis=1)
        raw[rows], sure[rows] = raw_confidence(logits), adapter.calibration.confidence(logits)
    detectors = [each.detector for each in examples]
    return tell(right, among, {"raw": raw, kind: sure}, kind, detectors)


async def run(
    given: argparse.Namespace, component: Component, kind: str, report: Callable[[str], None]
) -> HeldOut:
    """Measure a component on the file or folder of examples that the command line names.

    Raises:
        DefinitionInvalid: a row is unusable, no row has one label and one part, or these are the very
            examples that it was trained on.
        VectorsUnusable: nobody can encode them.
    """
    path: Path = given.examples
    file = taxonomy_file(given.taxonomy) if given.taxonomy else MapperSettings().taxonomy
    found = training_set(load_examples(path, load_taxonomy(file)))
    if not found:
        raise DefinitionInvalid(path, "file", "holds no row of one label and one part")
    if content_hash(found) == component.card.training.get("examples_hash"):
        why = "are what it was trained on; give some that it never saw"
        raise DefinitionInvalid(path, "examples", why)
    given.namespace = component.card.namespace
    report(f"{component.reference}: {len(found)} examples")
    vectors = await vectors_of(given, [each.text for each in found], report)
    return measure(component, found, np.asarray(vectors), kind)
