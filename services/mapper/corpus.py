"""What a mapper is trained on: examples, descriptions and aliases with their vectors, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from services.mapper.adapter import Array
from services.mapper.examples import Example
from services.mapper.taxonomy import Taxonomy

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

    def pick(self, rows: Indices) -> "Corpus":
        """Return the corpus with some of its examples."""
        return Corpus(
            self.labels,
            self.examples.pick(rows),
            self.groups[rows],
            self.descriptions,
            self.aliases,
        )


def wanted_texts(taxonomy: Taxonomy, examples: Sequence[Example]) -> list[str]:
    """Return every text that training needs a vector of: examples, then descriptions, then aliases."""
    labels = taxonomy.labels.values()
    return [
        *(example.text for example in examples),
        *(label.description for label in labels),
        *(alias for label in labels for alias in label.aliases),
    ]


def assemble(taxonomy: Taxonomy, examples: Sequence[Example], vectors: Array) -> Corpus:
    """Join texts and vectors; ``vectors`` are of :func:`wanted_texts`, in its order."""
    texts = wanted_texts(taxonomy, examples)
    if len(vectors) != len(texts):
        raise ValueError(f"{len(vectors)} vectors for {len(texts)} texts")
    labels = tuple(taxonomy.labels)
    place = {name: index for index, name in enumerate(labels)}
    owners = [place[example.labels[0]] for example in examples]
    owners += list(range(len(labels)))
    owners += [place[label.name] for label in taxonomy.labels.values() for _ in label.aliases]
    everything = Texts(tuple(texts), vectors, np.array(owners, dtype=np.int64))
    cuts = [0, len(examples), len(examples) + len(labels), len(texts)]
    parts = [everything.pick(np.arange(a, b)) for a, b in pairwise(cuts)]
    _, groups = np.unique([example.group for example in examples], return_inverse=True)
    return Corpus(labels, parts[0], groups.astype(np.int64), parts[1], parts[2])


def folds(groups: Indices, count: int, seed: int) -> list[tuple[Indices, Indices]]:
    """Return ``count`` pairs of (training rows, held-out rows); no group stands on both sides."""
    names = np.random.default_rng(seed).permutation(np.unique(groups))
    fold_of = {int(name): place % count for place, name in enumerate(names)}
    fold = np.array([fold_of[int(group)] for group in groups])
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(count)]
