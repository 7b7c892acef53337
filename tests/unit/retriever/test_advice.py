"""When an index should be built anew, and what is said of it."""

from dataclasses import replace

import pytest

from services.retriever.dense.advice import Shape, advice, reasons_to_rebuild

WELL = Shape(passages=1000, indexed=1000, nlist=20, imbalance=1.2, longest=90)


def test_a_well_index_and_none_at_all_need_nothing() -> None:
    assert reasons_to_rebuild(WELL) == reasons_to_rebuild(Shape(passages=10**9)) == []
    assert advice("docs", WELL) == ""


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        (replace(WELL, passages=1101), "grew 10 % since trained"),
        (replace(WELL, passages=1140), "grew 14 % since trained"),
        (replace(WELL, imbalance=2.01), "lists are uneven: imbalance 2.01"),
        (replace(WELL, longest=501), "the longest list is 10 times the mean"),
        (replace(WELL, dead=301), "301 of its entries are replaced or removed"),
    ],
)
def test_each_reason_is_said_with_its_number_and_the_command(shape: Shape, reason: str) -> None:
    assert reasons_to_rebuild(shape) == [reason]
    assert (
        advice("docs", shape) == f"rebuild: {reason}; `trimtab index rebuild docs --queries FILE`"
    )


@pytest.mark.parametrize(
    "shape",
    [
        replace(WELL, passages=1100),
        replace(WELL, passages=500, longest=60),
        replace(WELL, imbalance=2.0),
        replace(WELL, longest=500),
        replace(WELL, dead=300),
        replace(WELL, indexed=0, passages=5000),
    ],
)
def test_up_to_the_bound_nothing_is_said(shape: Shape) -> None:
    assert reasons_to_rebuild(shape) == []


def test_several_reasons_stand_in_one_line() -> None:
    said = advice("docs", replace(WELL, passages=2000, imbalance=3.0))

    assert said.startswith("rebuild: grew 100 % since trained; lists are uneven: imbalance 3.00;")
