"""A gate says what came out, what was asked and whether it holds; nothing judged is no pass."""

import math

import pytest

from trimtab.evaluation.gates import Gate, all_hold, at_least, at_most, shown


@pytest.mark.parametrize(
    ("gate", "ok"),
    [
        (at_least("overlap", 0.95, 0.95), True),
        (at_least("overlap", 0.9499, 0.95), False),
        (at_most("beyond", 0, 0), True),
        (at_most("beyond", 1, 0), False),
        (at_least("overlap", math.nan, 0.95), False),
        (at_most("beyond", math.nan, 0), False),
    ],
)
def test_the_bound_itself_passes_and_what_is_no_number_never_does(gate: Gate, ok: bool) -> None:
    assert gate.ok is ok
    assert gate.line().startswith("PASS" if ok else "FAIL")


def test_a_line_says_what_came_out_what_was_asked_and_of_what() -> None:
    line = at_least("overlap@10", 0.98123, 0.95, "500 queries").line()

    assert line == "PASS  overlap@10: 0.9812, at least 0.95 (500 queries)"


def test_nothing_judged_is_no_pass() -> None:
    assert not all_hold([])
    assert all_hold([at_most("a", 0, 0)])
    assert not all_hold([at_most("a", 0, 0), at_most("b", 1, 0)])


def test_a_value_that_is_no_number_is_null_for_scripts() -> None:
    assert at_least("overlap", math.nan, 0.95).shape()["value"] is None
    assert shown(1.5e-7) == "1.50e-07"
