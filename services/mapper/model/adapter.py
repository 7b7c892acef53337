"""The mapping model, as numbers and numpy alone: retrieved candidates and a head over them. Pure.

Each label gets a few scores: log-probabilities of heads over the vector and the lexical features, and
its similarity to the nearest description, sentence, alias and example ("candidates"). Fitted weights
make one logit of them, softmax a probability per label, and a calibration the confidence of the best.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from services.mapper.model.anchors import SHARPNESS, Anchors, Terms, similarities
from services.mapper.model.calibration import Calibration, Floats
from services.mapper.model.heads import Lexical, Linear, log_softmax, softmax
from services.mapper.model.lexical import Lexicon
from services.mapper.model.network import Array, Bag, Network


class Feature(StrEnum):
    """One score per label."""

    DENSE = "dense"
    LEXICAL = "lexical"
    DESCRIPTION = "description"
    ALIAS = "alias"
    EXAMPLE = "example"
    EXAMPLES = "examples"
    NETWORK = "network"
    SENTENCE = "sentence"
    TERMS = "terms"


@dataclass(frozen=True, slots=True)
class Adapter:
    """Everything the model knows; a part may be missing when no weight is given to its score."""

    labels: tuple[str, ...]
    """Canonical labels, in index order."""
    lexicon: Lexicon
    """Which lexical features count, and how much."""
    descriptions: Anchors
    """One per label."""
    aliases: Anchors
    """Zero or more per label."""
    examples: Anchors
    """One or more of most labels."""
    weights: Mapping[Feature, float]
    """How much each score counts, not negative; scores that are not named do not count."""
    calibration: Calibration
    """From the logits to the confidence that the best label is right."""
    dense: Linear | None = None
    """Over the encoder's vector."""
    words: Lexical | None = None
    """Over lexical features."""
    network: Network | None = None
    """Over both."""
    sentences: Anchors | None = None
    """Sentences of the descriptions."""
    terms: Terms | None = None
    """Words of the descriptions."""

    @property
    def dimension(self) -> int:
        """Of the vectors that it wants."""
        return int(self.descriptions.vectors.shape[1])

    @property
    def features(self) -> tuple[Feature, ...]:
        """What counts; the column order of :func:`scores`."""
        return tuple(feature for feature in Feature if feature in self.weights)

    def logits(self, vectors: Array, texts: Sequence[str]) -> Array:
        """Return (n, labels) logits of texts with their (n, dimension) unit vectors."""
        weights = np.array([self.weights[feature] for feature in self.features], dtype=np.float32)
        return np.asarray(scores(self, vectors, texts) @ weights, dtype=np.float32)

    def probabilities(self, vectors: Array, texts: Sequence[str]) -> Array:
        """Return (n, labels) probabilities as they are before calibration."""
        return softmax(self.logits(vectors, texts))

    def answer(self, vectors: Array, texts: Sequence[str]) -> list[tuple[str, float]]:
        """Return the best label of each text and the calibrated confidence that it is right, 0..1."""
        logits = self.logits(vectors, texts)
        confidence: Floats = self.calibration.confidence(logits)
        best = logits.argmax(axis=1)
        return [(self.labels[i], float(c)) for i, c in zip(best, confidence, strict=True)]


def scores(adapter: Adapter, vectors: Array, texts: Sequence[str]) -> Array:
    """Return (n, labels, features) scores in the order of :attr:`Adapter.features`."""
    bags = [adapter.lexicon.bag(text) for text in texts]
    columns = _learnt(adapter, vectors, bags) | _compared(adapter, vectors, bags)
    return np.stack([columns[feature] for feature in adapter.features], axis=2)


def _learnt(adapter: Adapter, vectors: Array, bags: Sequence[Bag]) -> dict[Feature, Array]:
    """Return the heads' log-probabilities."""
    found = {}
    if adapter.dense is not None:
        found[Feature.DENSE] = log_softmax(adapter.dense.logits(vectors))
    if adapter.words is not None:
        found[Feature.LEXICAL] = log_softmax(adapter.words.logits(bags))
    if adapter.network is not None:
        found[Feature.NETWORK] = log_softmax(adapter.network.logits(vectors, bags))
    return found


def _compared(adapter: Adapter, vectors: Array, bags: Sequence[Bag]) -> dict[Feature, Array]:
    """Return the similarities to what is known of each label."""
    count, wanted = len(adapter.labels), set(adapter.weights)
    description = similarities(adapter.descriptions, vectors, count)[0]
    found = {Feature.DESCRIPTION: description * SHARPNESS}
    if Feature.ALIAS in wanted:
        alias, _ = similarities(adapter.aliases, vectors, count, floor=description)
        found[Feature.ALIAS] = alias * SHARPNESS
    if wanted & {Feature.EXAMPLE, Feature.EXAMPLES}:
        example, examples = similarities(adapter.examples, vectors, count, floor=description)
        found |= {Feature.EXAMPLE: example * SHARPNESS, Feature.EXAMPLES: examples}
    if adapter.sentences is not None:
        sentence, _ = similarities(adapter.sentences, vectors, count, floor=description)
        found[Feature.SENTENCE] = sentence * SHARPNESS
    if adapter.terms is not None:
        found[Feature.TERMS] = adapter.terms.similarities(bags, count) * SHARPNESS
    return found
