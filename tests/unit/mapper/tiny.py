"""A small adapter and a small corpus made of clear-cut vectors, for tests of the arithmetic."""

import numpy as np

from services.mapper.model.adapter import Adapter, Feature
from services.mapper.model.anchors import Anchors, Terms
from services.mapper.model.calibration import IDENTITY
from services.mapper.model.heads import Lexical, Linear
from services.mapper.model.lexical import Lexicon
from services.mapper.model.network import Array, Network
from services.mapper.training.corpus import Corpus, Texts

LABELS = ("HARM.SPEECH.Hate", "INTEGRITY.Spam", "OTHER.Unknown")
DIMENSION, BUCKETS, HIDDEN = 4, 32, 6

WORDS = (("hate", "loathing"), ("spam", "advert"), ("bread", "garden"))


def unit(rows: Array) -> Array:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def adapter() -> Adapter:
    rng = np.random.default_rng(1)

    def draw(*shape: int) -> Array:
        return rng.standard_normal(shape).astype(np.float32)

    return Adapter(
        labels=LABELS,
        lexicon=Lexicon(np.abs(draw(BUCKETS)) + 1),
        # Column by column, as scikit-learn leaves its weights.
        dense=Linear(np.asfortranarray(draw(3, DIMENSION)), draw(3)),
        words=Lexical(np.asfortranarray(draw(BUCKETS, 3)), draw(3)),
        network=Network(
            *(draw(BUCKETS, HIDDEN), draw(DIMENSION, HIDDEN), draw(HIDDEN)),
            *(draw(HIDDEN, 3), draw(3)),
        ),
        sentences=Anchors.of(unit(draw(4, DIMENSION)), np.array([1, 1, 0, 2])),
        terms=Terms(
            np.arange(BUCKETS + 1),
            rng.integers(0, 3, BUCKETS),
            np.abs(draw(BUCKETS)) * np.float32(0.1),
        ),
        descriptions=Anchors.of(unit(draw(3, DIMENSION)), np.arange(3)),
        aliases=Anchors.of(unit(draw(2, DIMENSION)), np.array([1, 0])),
        examples=Anchors.of(unit(draw(5, DIMENSION)), np.array([2, 0, 0, 2, 0])),
        weights={feature: 0.1 + 0.1 * i for i, feature in enumerate(Feature)},
        calibration=IDENTITY,
    )


def corpus(groups_per_label: int = 8, per_group: int = 3) -> Corpus:
    """Three labels around three directions; members of a group lie close together."""
    rng = np.random.default_rng(2)
    texts, vectors, labels, groups = [], [], [], []
    for label in range(3):
        for group in range(groups_per_label):
            centre = np.eye(DIMENSION)[label] + 0.25 * rng.standard_normal(DIMENSION)
            for member in range(per_group):
                word = WORDS[label][(group + member) % 2]
                texts.append(f"{word} number {group} {member}")
                vectors.append(centre + 0.05 * rng.standard_normal(DIMENSION))
                labels.append(label)
                groups.append(label * groups_per_label + group)
    described = Texts(
        tuple(w[0] for w in WORDS), np.eye(3, DIMENSION, dtype=np.float32), np.arange(3)
    )
    none = Texts((), np.zeros((0, DIMENSION), dtype=np.float32), np.zeros(0, dtype=np.int64))
    examples = Texts(tuple(texts), unit(np.array(vectors, dtype=np.float32)), np.array(labels))
    return Corpus(LABELS, examples, np.array(groups), described, none, none)
