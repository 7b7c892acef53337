"""What a mapper is trained on: examples, and what the taxonomy says of each label, with their vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from services.mapper.definitions.taxonomy import Taxonomy
from services.mapper.model.network import Array
from services.mapper.training.examples import Example
from services.mapper.training.sentences import sentences

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts of known meaning with their vectors."""

    texts: tuple[str, ...]
    """n texts, as the encoder was given them."""
    vectors: Array
    """(n, dimension), unit rows."""
    labels: Indices
    """(n,) label index of each."""

    def pick(self, rows: Indices) -> "Texts":
        """Return some of them."""
        texts = tuple(self.texts[row] for row in rows)
        return Texts(texts, self.vectors[rows], self.labels[rows])


@dataclass(frozen=True, slots=True)
class Corpus:
    """Everything that training sees."""

    labels: tuple[str, ...]
    """Canonical labels, in index order."""
    examples: Texts
    """Labelled examples; what is split."""
    groups: Indices
    """Paraphrase family of each example; never parted by a split."""
    descriptions: Texts
    """One per label, always seen: the taxonomy is known when a text is mapped."""
    aliases: Texts
    """The taxonomy's aliases, always seen."""
    sentences: Texts
    """Sentences of the descriptions, always seen."""
    detectors: tuple[str, ...] = ()
    """Who said each example; empty when nobody asks."""

    @property
    def known(self) -> tuple[Texts, ...]:
        """What the taxonomy itself says."""
        return (self.descriptions, self.aliases, self.sentences)

    def pick(self, rows: Indices) -> "Corpus":
        """Return the corpus with some of its examples."""
        return Corpus(
            self.labels,
            self.examples.pick(rows),
            self.groups[rows],
            self.descriptions,
            self.aliases,
            self.sentences,
            tuple(self.detectors[row] for row in rows) if self.detectors else (),
        )


def wanted_texts(taxonomy: Taxonomy, examples: Sequence[Example]) -> list[str]:
    """Return every text that training needs a vector of: examples, descriptions, aliases, sentences."""
    return [text for texts in _parts(taxonomy, examples) for text, _ in texts]


def assemble(taxonomy: Taxonomy, examples: Sequence[Example], vectors: Array) -> Corpus:
    """Join texts and vectors; ``vectors`` are of :func:`wanted_texts`, in its order."""
    told = _parts(taxonomy, examples)
    cuts = np.cumsum([0, *(len(texts) for texts in told)])
    if len(vectors) != cuts[-1]:
        raise ValueError(f"{len(vectors)} vectors for {cuts[-1]} texts")
    labels = tuple(taxonomy.labels)
    place = {name: index for index, name in enumerate(labels)}
    parts = [
        Texts(
            tuple(text for text, _ in texts),
            vectors[start:end],
            np.array([place[name] for _, name in texts], dtype=np.int64),
        )
        for texts, (start, end) in zip(told, pairwise(cuts), strict=True)
    ]
    _, groups = np.unique([example.group for example in examples], return_inverse=True)
    said_by = tuple(example.detector for example in examples)
    shown, descriptions, aliases, sentenced = parts
    groups = groups.astype(np.int64)
    return Corpus(labels, shown, groups, descriptions, aliases, sentenced, said_by)


def _parts(taxonomy: Taxonomy, examples: Sequence[Example]) -> list[list[tuple[str, str]]]:
    """Return (text, label) of the examples, then of what the taxonomy says, in :class:`Corpus` order."""
    labels = taxonomy.labels.values()
    return [
        [(example.text, example.labels[0]) for example in examples],
        [(label.text, label.name) for label in labels],
        [(alias, label.name) for label in labels for alias in label.aliases],
        [(part, label.name) for label in labels for part in sentences(label.description)],
    ]


def folds(groups: Indices, count: int, seed: int) -> list[tuple[Indices, Indices]]:
    """Return ``count`` pairs of (training rows, held-out rows); no group stands on both sides."""
    names = np.random.default_rng(seed).permutation(np.unique(groups))
    fold_of = {int(name): place % count for place, name in enumerate(names)}
    fold = np.array([fold_of[int(group)] for group in groups])
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(count)]
