"""A small query model and articles whose next passage can be foretold, for tests."""

from pathlib import Path

import numpy as np

from services.retriever.querymodel.amn import AmnSize
from services.retriever.querymodel.component import (
    ModelCard,
    Size,
    TrainedModel,
    load_model,
    save_model,
)
from services.retriever.querymodel.layers import draw
from services.retriever.querymodel.model import Vectors, unit
from services.retriever.querymodel.windows import Place
from tests.unit.retriever.corpora import DIMENSION, NAMESPACE

SIZE = AmnSize(dimension=DIMENSION, d_model=8, hidden=8)


def save(
    folder: Path, reference: str = "amn_v0@1", size: Size = SIZE, namespace: str = NAMESPACE
) -> Path:
    """Write an untrained model below ``folder`` and return its own."""
    card = ModelCard(
        namespace=namespace, encoder="test-encoder@1", window=5, size=size, training={"epochs": 0}
    )
    network = size.network(draw(size.weights(), np.random.default_rng(5)))
    save_model(folder / reference, reference, card, network)
    return folder / reference


def model(folder: Path, reference: str = "amn_v0@1") -> TrainedModel:
    return load_model(save(folder, reference))


def turning(articles: int, length: int, dimension: int = DIMENSION) -> tuple[list[Place], Vectors]:
    """Return articles each of whose passages is the one before, turned by the same angle."""
    rng = np.random.default_rng(6)
    turn, _ = np.linalg.qr(np.eye(dimension) + 0.4 * rng.standard_normal((dimension, dimension)))
    places, rows = [], []
    for article in range(articles):
        vector = rng.standard_normal(dimension)
        for seq in range(length):
            places.append(Place(f"article-{article}", seq))
            rows.append(vector)
            vector = turn @ vector
    return places, unit(np.array(rows, dtype=np.float32))
