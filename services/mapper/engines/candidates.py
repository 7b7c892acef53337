"""The labels that a language model may choose from: what engine 1 retrieves for a text, best first. Pure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.mapper.definitions.taxonomy import Taxonomy
from services.mapper.engines.engine import Question
from services.mapper.model.adapter import Adapter
from services.mapper.model.heads import softmax
from services.mapper.model.network import Array
from trimtab.contracts.mapping import UNKNOWN


@dataclass(frozen=True, slots=True)
class Candidate:
    """One label that may be chosen."""

    label: str
    """Canonical name."""
    text: str
    """What it covers, for the prompt."""
    share: float
    """Probability 0..1 that engine 1 gives it; 0 for a label that it does not know."""


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Engine 1 as a retriever of labels."""

    adapter: Adapter
    """Compares a text with examples, descriptions and words of every label."""
    taxonomy: Taxonomy
    """Where the labels' texts stand."""
    count: int
    """Most labels per text; ``OTHER.Unknown`` comes on top."""

    def of(self, question: Question) -> list[tuple[Candidate, ...]]:
        """Return the candidates of each text, best first, ``OTHER.Unknown`` always among them."""
        shares = softmax(self.adapter.logits(question.vectors, question.texts))
        order = np.argsort(-shares, axis=1, kind="stable")[:, : self.count]
        return [self._of(row, places) for row, places in zip(shares, order, strict=True)]

    def _of(self, shares: Array, places: NDArray[np.int64]) -> tuple[Candidate, ...]:
        labels = {self.adapter.labels[place]: float(shares[place]) for place in places}
        labels.setdefault(UNKNOWN, 0.0)
        return tuple(
            Candidate(label, self.taxonomy.labels[label].text, share)
            for label, share in labels.items()
        )
