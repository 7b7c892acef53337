"""Golden cases: read line by line, and what two releases' answers to them are worth."""

from pathlib import Path

import pytest

from trimtab.contracts.gates import Gate, ProbedMap, ProbedSearch
from trimtab.evaluation.golden import (
    BadCases,
    MapCase,
    SearchCase,
    gates_of,
    index,
    mapped,
    norms,
    read_cases,
    searched,
)

CASE = SearchCase("a question", ["a", "b"])


def answer(
    *, norm: float = 1.0, found: str = "abcde", truth: str = "abcde", results: str = "abcde"
) -> ProbedSearch:
    return ProbedSearch(
        norm=norm,
        nearest=list(found),
        truly_nearest=list(truth),
        retrieved=list(found),
        truly_retrieved=list(truth),
        results=list(results),
    )


def test_both_kinds_of_cases_are_read_and_the_file_is_named_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text(
        '{"text": "q", "relevant": ["a"]}\n\n'
        '{"detector": "detoxify", "output": "toxic", "expected": ["HARM"]}\n'
    )

    cases = read_cases(path)

    assert cases.searches == [SearchCase("q", ["a"])]
    assert cases.maps == [MapCase("detoxify", "toxic", ["HARM"])]
    assert len(cases.content_hash) == 64
    assert gates_of(cases) == [Gate.NORMS, Gate.INDEX, Gate.GOLDEN]


@pytest.mark.parametrize(
    "line",
    [
        '{"text": "q"}',
        '{"text": "q", "relevant": []}',
        "nonsense",
        '{"output": "x", "expected": 1}',
    ],
)
def test_a_line_that_is_no_case_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text(f'{{"text": "q", "relevant": ["a"]}}\n{line}\n')

    with pytest.raises(BadCases, match=r"line 2 of cases\.jsonl"):
        read_cases(path)


def test_the_worst_norm_counts() -> None:
    assert norms([answer(), answer(norm=0.9998), answer(norm=1.0001)]) == {
        "norm_error": pytest.approx(2e-4)
    }


def test_recall_is_the_share_of_all_relevant_passages_as_in_every_other_report() -> None:
    many = SearchCase("q", [*list("abcdefgh"), "a"])

    assert searched([CASE], [answer()], [answer(results="xaxxxb")])["search_recall_at_5"] == 0.5
    assert searched([many], [answer()], [answer()])["search_recall_at_5"] == 5 / 8


def test_an_index_that_overlaps_but_misses_what_is_relevant_shows_its_loss() -> None:
    figures = index([CASE, CASE], [answer(), answer(found="acdex", truth="abcde")])

    assert figures["overlap_at_10"] == pytest.approx(0.9)
    assert figures["recall_at_5_loss"] == pytest.approx(0.25)
    assert figures["contain_at_50_loss"] == 0.0


def test_the_final_order_is_compared_with_the_stable_releases() -> None:
    figures = searched([CASE], [answer()], [answer(results="acdex")])

    assert (figures["search_recall_at_5"], figures["search_stable"]) == (0.5, 1.0)
    assert figures["search_loss"] == 0.5


def test_the_first_label_decides_whether_an_output_was_mapped_rightly() -> None:
    case = MapCase("detoxify", "toxic", ["HARM"])
    right, wrong = ProbedMap(labels=["HARM", "X"]), ProbedMap(labels=["X", "HARM"])

    assert mapped([case, case], [right, right], [right, wrong])["map_loss"] == 0.5
