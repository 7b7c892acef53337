import numpy as np
import pytest

from services.mapper.model.network import Array, Bag, Network
from services.mapper.training.descent import Training, fit_network

sparse = pytest.importorskip("scipy.sparse", reason="training needs the extra trimtab[train]")

CAREFUL = Training(hidden=24, epochs=60, batch=16, dropout=0.0, word_dropout=0.0, smoothing=0.0)


def crossed(count: int = 160) -> tuple[Array, Array, np.ndarray]:
    """Bags of one of two words, vectors of one of two kinds; the label is whether they agree."""
    rng = np.random.default_rng(4)
    word, kind = rng.integers(0, 2, count), rng.integers(0, 2, count)
    bags = np.zeros((count, 5), dtype=np.float32)
    bags[np.arange(count), word] = 1.0
    return bags, np.eye(2, 3, dtype=np.float32)[kind], np.asarray(word == kind, dtype=np.int64)


def as_bags(rows: Array) -> list[Bag]:
    return [(np.flatnonzero(row), row[row != 0]) for row in rows]


def trained(training: Training = CAREFUL, seed: int = 1) -> tuple[Network, float]:
    bags, vectors, targets = crossed()
    network = fit_network(sparse.csr_matrix(bags), vectors, targets, 2, training, seed)
    found = network.logits(vectors, as_bags(bags)).argmax(axis=1)
    return network, float((found == targets).mean())


def test_a_word_counts_in_the_light_of_the_vector_which_no_sum_of_both_can_do() -> None:
    _, right = trained()

    assert right == 1.0


def test_training_does_not_change_what_it_is_given() -> None:
    bags, vectors, targets = crossed()
    given = sparse.csr_matrix(bags)

    fit_network(given, vectors, targets, 2, Training(hidden=4, epochs=1), 1)

    assert np.array_equal(given.toarray(), bags)


def test_a_word_that_no_text_has_keeps_a_row_that_nothing_reads() -> None:
    network, _ = trained()
    rng = np.random.default_rng(1)

    first = np.float32(0.05) * rng.standard_normal((5, 24), dtype=np.float32)

    assert np.array_equal(network.rows[2:], first[2:])
    assert not np.allclose(network.rows[:2], first[:2])


def test_the_seed_decides_and_nothing_else() -> None:
    rough = Training(hidden=8, epochs=3)

    same, again, other = (trained(rough, seed)[0].rows for seed in (1, 1, 2))

    assert np.array_equal(same, again)
    assert not np.array_equal(same, other)


def test_every_epoch_is_told() -> None:
    bags, vectors, targets = crossed()
    told: list[tuple[int, int]] = []

    fit_network(
        *(sparse.csr_matrix(bags), vectors, targets, 2, Training(hidden=4, epochs=3), 1),
        advance=lambda done, of: told.append((done, of)),
    )

    assert told == [(1, 3), (2, 3), (3, 3)]
