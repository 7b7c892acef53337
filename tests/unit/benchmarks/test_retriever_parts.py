"""The retriever's own histogram, read twice, says what each part of a search took in between."""

import pytest

from benchmarks.retriever_parts import parse

PAGE = """\
# TYPE retriever_search_duration_seconds histogram
retriever_search_duration_seconds_bucket{le="0.1",part="dense"} 3.0
retriever_search_duration_seconds_count{part="dense"} %s
retriever_search_duration_seconds_sum{part="dense"} %s
retriever_search_duration_seconds_count{part="model"} 0.0
retriever_search_duration_seconds_sum{part="model"} 0.0
"""


def test_a_part_is_the_mean_over_the_searches_in_between() -> None:
    before, after = parse(PAGE % ("3.0", "0.003")), parse(PAGE % ("5.0", "0.007"))

    assert after.since(before) == {"dense": pytest.approx(2.0)}


def test_a_part_that_nothing_went_through_is_left_out() -> None:
    once = parse(PAGE % ("3.0", "0.003"))

    assert once.since(once) == {}
