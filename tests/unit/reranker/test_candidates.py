"""Signals from the bus: shapes are checked, unusable numbers cost only their candidate."""

import math
from typing import Any

import msgspec
import numpy as np
import pytest

from services.reranker.candidates import from_signals
from tests.unit.reranker.pools import drawn, make, row
from trimtab.contracts.errors import InvalidMessage
from trimtab.contracts.tensor import Matrix


def changed(**fields: Any) -> Any:
    return msgspec.structs.replace(drawn(1, 4), **fields)


WRONG = {
    "a short row": ({"cosine": row([0.1, 0.2, 0.3])}, "cosine must be 1x4 f32, not 1x3 f32"),
    "two rows": (
        {"bm25": Matrix.of(np.zeros((2, 4), dtype=np.float32))},
        "bm25 must be 1x4 f32, not 2x4 f32",
    ),
    "a row of another dtype": (
        {"fused": Matrix.of(np.zeros((1, 4), dtype=np.float16))},
        "fused must be 1x4 f32, not 1x4 f16",
    ),
    "maxsim of another length": ({"maxsim": row([0.5])}, "maxsim must be 1x4 f32, not 1x1 f32"),
    "a gram that is not square": (
        {"gram": Matrix.of(np.zeros((4, 3), dtype=np.float16))},
        "gram must be 4x4 f16, not 4x3 f16",
    ),
    "a gram of f32": (
        {"gram": Matrix.of(np.zeros((4, 4), dtype=np.float32))},
        "gram must be 4x4 f16, not 4x4 f32",
    ),
    "articles of another length": ({"articles": [1, 2, 3]}, "articles must be 4, not 3"),
    "an article number beyond 64 bits": (
        {"articles": [1, 2, 3, 1 << 63]},
        "article number does not fit 64 bits",
    ),
    "bytes that are too few": (
        {"cosine": Matrix(dtype="f32", rows=1, dim=4, data=b"\0" * 15)},
        "needs 16 bytes, got 15",
    ),
}


@pytest.mark.parametrize(("fields", "problem"), WRONG.values(), ids=WRONG)
def test_shapes_that_do_not_fit_are_refused_by_name(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidMessage) as refusal:
        from_signals(changed(**fields))

    assert problem in refusal.value.detail


def test_more_candidates_than_a_pool_holds_are_refused() -> None:
    with pytest.raises(InvalidMessage, match="201 candidates, at most 200"):
        from_signals(make([0.0] * 201))


def test_the_largest_pool_is_accepted() -> None:
    assert from_signals(make([0.0] * 200)).count == 200


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e30, -1e7])
@pytest.mark.parametrize("field", ["fused", "cosine", "bm25", "maxsim"])
def test_an_unusable_number_sets_its_candidate_aside(field: str, bad: float) -> None:
    values = [0.4, 0.3, 0.2, 0.1]
    values[2] = bad

    found = from_signals(changed(**{field: row(values)}))

    assert found.sound.tolist() == [True, True, False, True]
    for array in (found.fused, found.cosine, found.bm25, found.maxsim):
        assert array is not None
        assert np.isfinite(array).all()


def test_a_candidate_without_a_usable_fused_score_comes_last_in_the_retrieval_order() -> None:
    found = from_signals(changed(fused=row([0.4, math.nan, 0.2, 0.1])))

    assert found.order.tolist()[:2] == [0, 2]


def test_a_pool_of_unusable_candidates_is_still_a_pool() -> None:
    found = from_signals(make([math.nan, math.nan]))

    assert found.sound.tolist() == [False, False]
    assert sorted(found.order.tolist()) == [0, 1]


def test_unusable_similarities_count_as_none() -> None:
    gram = np.full((2, 2), np.nan, dtype=np.float32)

    assert from_signals(make([2, 1], gram=gram)).gram.tolist() == [[0.0, 0.0], [0.0, 0.0]]
