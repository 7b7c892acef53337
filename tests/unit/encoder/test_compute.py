"""In the model's thread: order is kept, one model call per kind, a refused text fails nobody else."""

import numpy as np
import pytest

from services.encoder.backend import BatchLimits
from services.encoder.cache import EncodedText
from services.encoder.compute import Job, Result, compute, slices
from tests.unit.encoder.twin import Twin
from trimtab.contracts.encode import Overflow
from trimtab.contracts.errors import InvalidText, ModelFailed, TokenBudgetExceeded


def _job(*texts: str, overflow: Overflow = "truncate", tokens: bool = False, first: int = 0) -> Job:
    return Job(texts, tuple(range(first, first + len(texts))), overflow, tokens)


def _row(result: Result) -> EncodedText:
    assert isinstance(result, EncodedText)
    return result


def test_results_come_in_the_order_of_the_jobs_and_their_texts() -> None:
    twin = Twin()
    jobs = [_job("a", "b"), _job("c", tokens=True), _job("d"), _job("e", "f", tokens=True)]

    results = compute(twin, jobs)

    for job, rows in zip(jobs, results, strict=True):
        assert len(rows) == len(job.texts)
        for text, result in zip(job.texts, rows, strict=True):
            expected = twin.vector(twin.tokenize([text])[0])
            np.testing.assert_array_equal(_row(result).vector, expected)
            assert (_row(result).tokens is not None) == job.tokens


def test_all_jobs_of_a_kind_share_one_model_call() -> None:
    twin = Twin()

    compute(twin, [_job("a"), _job("b"), _job("c", tokens=True), _job("d", tokens=True)])

    assert [len(call) for call in twin.calls] == [2, 2]


def test_a_refused_text_fails_neither_its_neighbours_nor_other_jobs() -> None:
    twin = Twin()
    too_long = "a b c d e f g h"

    first, second = compute(twin, [_job("a", too_long, overflow="reject", first=4), _job(too_long)])

    refusal = first[1]
    assert isinstance(refusal, TokenBudgetExceeded)
    assert (refusal.index, refusal.tokens, refusal.budget) == (5, 10, 6)
    assert _row(first[0]).seen == 3
    assert (_row(second[0]).seen, _row(second[0]).total) == (6, 10)


def test_a_refused_text_costs_no_model_time() -> None:
    twin = Twin()

    [results] = compute(twin, [_job("a b c d e f g", overflow="reject")])

    assert isinstance(results[0], TokenBudgetExceeded)
    assert twin.calls == []


def test_a_text_of_dropped_characters_is_refused_by_its_place() -> None:
    [results] = compute(Twin(), [_job("a", "\x01", first=2)])

    assert isinstance(results[1], InvalidText)
    assert results[1].index == 3


def test_a_backend_without_token_vectors_answers_without() -> None:
    [results] = compute(Twin(gives_tokens=False), [_job("a", tokens=True)])

    assert _row(results[0]).tokens is None


def test_a_failing_model_fails_the_batch_with_its_typed_error() -> None:
    with pytest.raises(ModelFailed):
        compute(Twin(fails_with=ModelFailed("twin")), [_job("a")])


def test_a_kept_row_does_not_hold_on_to_its_batch() -> None:
    [results] = compute(Twin(), [_job("a", "b")])

    assert _row(results[0]).vector.base is None


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        ([], []),
        ([5], [slice(0, 1)]),
        ([1, 1, 1, 1], [slice(0, 3), slice(3, 4)]),
        ([6, 4, 1], [slice(0, 2), slice(2, 3)]),
        ([50, 1], [slice(0, 1), slice(1, 2)]),
    ],
    ids=["nothing", "one", "by-number", "by-tokens", "one-too-large-alone"],
)
def test_texts_are_cut_into_slices_within_both_limits(
    costs: list[int], expected: list[slice]
) -> None:
    assert slices(costs, BatchLimits(texts=3, tokens=10)) == expected
