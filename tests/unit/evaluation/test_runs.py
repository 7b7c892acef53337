"""Runs on disk: what is written is read again, two runs are compared query by query or not at all."""

import json
from pathlib import Path

import numpy as np
import pytest

from trimtab.evaluation.queries import Query
from trimtab.evaluation.runs import (
    BadRun,
    Ranking,
    aligned,
    append_history,
    ranking_of,
    read_run,
    write_run,
)
from trimtab.evaluation.summary import differences, summarise

RUN = [
    Ranking("q1", ("a",), ("a", "b"), "one"),
    Ranking("q2", ("b", "c"), ("x", "c"), "one"),
    Ranking("q3", ("d",), (), "two"),
]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "hits.jsonl"

    write_run(path, RUN)

    assert read_run(path) == RUN
    assert json.loads(path.read_text().splitlines()[1]) == {
        "query_id": "q2",
        "relevant": ["b", "c"],
        "cluster": "one",
        "top_k": ["x", "c"],
    }


def test_rankings_with_one_gold_id_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "theirs.jsonl"
    path.write_text('{"query_id": "1", "gold_id": "g", "top_k": ["h", "g"], "scores": [2, 1]}\n')

    assert read_run(path) == [Ranking("1", ("g",), ("h", "g"), "")]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "holds no rankings"),
        ('{"query_id": "1", "top_k": ["a"]}', "nothing relevant"),
        ('{"query_id": "1", "gold_id": "a", "top_k": ["a", "a"]}', "twice"),
        ('{"query_id": "1", "gold_id": "a"}', "top_k"),
        ("[]", "hits.jsonl:1"),
        ('{"query_id":"1","gold_id":"a","top_k":[]}\n' * 2, "a query occurs twice"),
    ],
)
def test_what_is_no_run_is_refused(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "hits.jsonl"
    path.write_text(line)

    with pytest.raises(BadRun) as caught:
        read_run(path)

    assert says in str(caught.value)


def test_runs_are_compared_by_query_whatever_their_order() -> None:
    pairs = aligned(RUN, RUN[::-1])

    assert [(one.query_id, other.query_id) for one, other in pairs] == [
        ("q1", "q1"),
        ("q2", "q2"),
        ("q3", "q3"),
    ]


@pytest.mark.parametrize(
    "after",
    [
        RUN[:2],
        [*RUN, Ranking("q4", ("a",), (), "")],
        [*RUN[:2], Ranking("q9", ("d",), (), "two")],
        [*RUN[:2], Ranking("q3", ("e",), (), "two")],
    ],
    ids=["fewer", "more", "others", "other answers"],
)
def test_runs_of_other_queries_or_other_answers_are_not_compared(after: list[Ranking]) -> None:
    with pytest.raises(BadRun, match="evaluate the same file of queries"):
        aligned(RUN, after)


def test_a_summary_names_every_metric_and_the_worst_clusters_first() -> None:
    found = summarise(RUN, 1)

    assert found.figures["R@1"].mean == pytest.approx(1 / 3)
    assert found.figures["MRR@10"].mean == pytest.approx(0.5)
    assert [each.cluster for each in found.clusters] == ["two", "one"]
    assert found.clusters[1].means["R@5"] == 0.75
    assert found.clusters[1].queries == 2


def test_queries_without_a_cluster_are_in_no_clusters_figures() -> None:
    run = [ranking_of(Query(str(n), "x", ("a",)), ("a",)) for n in range(3)]

    assert summarise(run, 1).clusters == []


def test_differences_are_after_less_before() -> None:
    better = [Ranking(each.query_id, each.relevant, each.relevant, each.cluster) for each in RUN]

    found = differences(aligned(RUN, better), 1)

    assert found["R@5"].mean == pytest.approx((0 + 0.5 + 1) / 3)
    assert found["R@5"].low <= found["R@5"].mean <= found["R@5"].high
    assert np.isclose(found["Contain@50"].mean, 1 / 3)


def test_a_history_grows_by_one_line_per_run(tmp_path: Path) -> None:
    path = tmp_path / "eval" / "history.jsonl"

    for number in range(3):
        append_history(path, {"run": number, "metrics": {"R@5": 0.5}})

    lines = path.read_text().splitlines()
    assert [json.loads(line)["run"] for line in lines] == [0, 1, 2]
