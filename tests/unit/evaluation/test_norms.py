"""Norms are gathered in parts and judged by one tolerance."""

import numpy as np
import pytest

from trimtab.evaluation.norms import Norms, all_norms, norms_of

RNG = np.random.default_rng(0)


def unit(rows: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    vectors = RNG.standard_normal((rows, 384))
    made: np.ndarray[tuple[int, int], np.dtype[np.float32]] = (
        vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    ).astype(np.float32)
    return made


def test_unit_vectors_in_f32_are_within_the_tolerance() -> None:
    facts = norms_of(unit(2000), 1e-5).facts()

    assert (facts.count, facts.beyond) == (2000, 0)
    assert facts.least == pytest.approx(1.0, abs=1e-6)
    assert facts.mean == pytest.approx(1.0, abs=1e-7)


@pytest.mark.parametrize(("factor", "beyond"), [(1 + 5e-6, 0), (1 + 2e-5, 1), (0.0, 1), (2.0, 1)])
def test_one_vector_beyond_the_tolerance_is_counted(factor: float, beyond: int) -> None:
    vectors = unit(50)
    vectors[7] *= np.float32(factor)

    assert norms_of(vectors, 1e-5).beyond == beyond


def test_a_vector_that_is_no_number_is_beyond_every_tolerance() -> None:
    vectors = unit(3)
    vectors[0, 0], vectors[1, 5] = np.nan, np.inf

    facts = norms_of(vectors, 1.0).facts()

    assert (facts.count, facts.beyond) == (3, 2)
    assert facts.greatest == pytest.approx(1.0)


def test_parts_add_up_to_the_whole() -> None:
    vectors = unit(100) * np.linspace(0.5, 1.5, 100, dtype=np.float32)[:, None]

    whole = norms_of(vectors, 1e-3)
    parts = all_norms((vectors[:30], vectors[30:31], vectors[31:]), 1e-3)

    assert (parts.count, parts.least, parts.greatest) == (100, whole.least, whole.greatest)
    assert parts.beyond == whole.beyond > 90
    assert parts.total == pytest.approx(whole.total)


def test_of_nothing_every_norm_is_one() -> None:
    facts = (Norms() + norms_of(np.empty((0, 4), np.float32), 1e-5)).facts()

    assert (facts.count, facts.least, facts.greatest, facts.mean, facts.beyond) == (0, 1, 1, 1, 0)
