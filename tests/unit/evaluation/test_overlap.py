"""Overlap is the share of the exact results that were found."""

import pytest

from trimtab.evaluation.overlap import overlap, overlap_of

EXACT = [str(number) for number in range(50)]


@pytest.mark.parametrize(
    ("found", "share"),
    [
        (EXACT, 1.0),
        (EXACT[9::-1], 1.0),
        (EXACT[1:], 0.9),
        (["x", *EXACT], 0.9),
        (["x"] * 10, 0.0),
        ([], 0.0),
    ],
)
def test_the_order_of_the_first_ten_does_not_matter_what_is_missing_does(
    found: list[str], share: float
) -> None:
    assert overlap_of(found, EXACT, 10) == share


def test_a_collection_smaller_than_the_depth_can_be_found_whole() -> None:
    assert overlap_of(["a", "b"], ["b", "a"], 10) == 1.0
    assert overlap_of([], [], 10) == 1.0


def test_the_summary_says_the_mean_the_worst_and_how_many_miss_nothing() -> None:
    exact = [EXACT[:10]] * 40
    found = [EXACT[:10]] * 36 + [EXACT[5:15]] * 4

    summary, shares = overlap(found, exact, 10)

    assert len(shares) == 40
    assert summary.mean == pytest.approx(0.95)
    assert (summary.least, summary.p5) == (0.5, 0.5)
    assert summary.shape()["pct_perfect"] == 90.0


def test_no_queries_are_no_overlap() -> None:
    with pytest.raises(ValueError, match="0 answers"):
        overlap([], [], 10)
