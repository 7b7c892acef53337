"""A figure is the median over rounds with its spread, judged on the right side of its aim."""

import pytest

from benchmarks.figure import AT_LEAST, AT_MOST, Aim, number, over_rounds, percentile


def test_a_figure_is_the_median_of_its_rounds_with_their_extremes() -> None:
    figure = over_rounds("p50", "ms", [3.0, 1.0, 2.0], n=300)

    assert (figure.value, figure.low, figure.high) == (2.0, 1.0, 3.0)
    assert (figure.rounds, figure.n, figure.met) == (3, 300, None)


@pytest.mark.parametrize(
    ("aim", "value", "met"),
    [
        pytest.param(Aim(AT_MOST, 1.8), 1.8, True, id="at-most-is-met-at-the-bound"),
        pytest.param(Aim(AT_MOST, 1.8), 1.81, False, id="at-most-is-missed-above"),
        pytest.param(Aim(AT_LEAST, 0.8), 0.8, True, id="at-least-is-met-at-the-bound"),
        pytest.param(Aim(AT_LEAST, 0.8), 0.79, False, id="at-least-is-missed-below"),
    ],
)
def test_an_aim_is_judged_on_its_own_side(aim: Aim, value: float, met: bool) -> None:
    assert over_rounds("x", "x", [value], n=1, aim=aim).met is met


def test_no_round_is_no_figure() -> None:
    with pytest.raises(ValueError, match="no round"):
        over_rounds("p50", "ms", [], n=1)


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(n) for n in range(1, 101)]

    assert percentile(values, 0.5) == 51.0
    assert percentile(values, 0.95) == 96.0
    assert percentile([7.0], 0.99) == 7.0


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234.5, "1,234"), (12.34, "12.3"), (1.789, "1.79"), (0.1234, "0.123"), (-45.6, "-45.6")],
)
def test_numbers_are_written_with_three_digits(value: float, text: str) -> None:
    assert number(value) == text
