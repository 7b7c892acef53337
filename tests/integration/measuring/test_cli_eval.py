"""The commands that measure quality, against a deployment with a real encoder, retriever and reranker."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.measuring.conftest import Measured

pytestmark = pytest.mark.integration

PATIENT = ("--timeout", "60")
"""On a machine that is busy with other things no search shall fail for that."""


def rows(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_writes_results_a_record_a_page_and_one_line_of_history(
    measured: Measured, tmp_path: Path
) -> None:
    files = {name: tmp_path / name for name in ("hits", "out", "history", "page.html")}
    words = (
        *("eval", "run", "--queries", measured.questions, "--json", *PATIENT),
        *("--hits", files["hits"], "--out", files["out"]),
        *("--history", files["history"], "--report", files["page.html"]),
    )

    said, again = measured(*words), measured(*words)

    assert (said.code, again.code) == (0, 0), said.errors
    found = said.json
    asked = rows(measured.questions)
    assert found["queries"] == len(asked) >= 20
    assert found["releases"] == {"ivf": len(asked)}
    assert found["versions"]["retrieve"] == "hybrid@2"
    assert 0.5 < found["metrics"]["R@5"]["mean"] <= found["metrics"]["Contain@50"]["mean"] <= 1
    figure = found["metrics"]["R@5"]
    assert figure["low"] <= figure["mean"] <= figure["high"]
    assert sum(each["queries"] for each in found["per_cluster"]) == len(asked)
    hits = rows(files["hits"])
    assert [each["query_id"] for each in hits] == [each["id"] for each in asked]
    first = sum(each["top_k"][0] in each["relevant"] for each in hits) / len(hits)
    assert first >= found["metrics"]["R@1"]["mean"] > 0.3
    assert rows(files["out"])[0]["metrics"] == again.json["metrics"] == found["metrics"]
    history = rows(files["history"])
    assert [line["metrics"] for line in history] == [found["metrics"]] * 2
    assert "in earlier runs" in files["page.html"].read_text()


def test_the_retriever_alone_can_be_evaluated_and_compared_with_the_whole_search(
    measured: Measured, tmp_path: Path
) -> None:
    whole, alone = tmp_path / "whole.jsonl", tmp_path / "alone.jsonl"
    common = ("eval", "run", "--queries", measured.questions, "--history", tmp_path / "h", *PATIENT)
    first = measured(*common, "--hits", whole, "--json")
    second = measured(*common, "--hits", alone, "--no-rerank", "--json")

    said = measured("eval", "compare", "--before", alone, "--after", whole, "--json")
    strict = measured(
        *("eval", "compare", "--before", alone, "--after", whole, "--min-delta-r5", "99")
    )

    assert (first.code, second.code) == (0, 0), first.errors + second.errors
    assert said.code == 0, said.errors
    found = said.json
    assert second.json["through"] == "retriever"
    for name in ("R@1", "R@5", "MRR@10"):
        difference = first.json["metrics"][name]["mean"] - second.json["metrics"][name]["mean"]
        assert found["delta_pp"][name]["mean"] == pytest.approx(100 * difference)
    assert strict.code == 1
    assert "FAIL  dR@5" in strict.out


def test_runs_of_other_queries_are_not_compared(measured: Measured, tmp_path: Path) -> None:
    whole, part = tmp_path / "whole.jsonl", tmp_path / "part.jsonl"
    common = ("eval", "run", "--queries", measured.questions, "--no-rerank", "--history")
    measured(*common, tmp_path / "h", "--hits", whole)
    measured(*common, tmp_path / "h", "--hits", part, "--n", "20")

    said = measured("eval", "compare", "--before", whole, "--after", part, "--json")

    assert said.code == 2
    assert said.json["error"]["name"] == "BadRun"


def test_the_reranker_is_judged_on_the_very_same_candidates(
    measured: Measured, tmp_path: Path
) -> None:
    before, after = tmp_path / "before.jsonl", tmp_path / "after.jsonl"
    words = ("eval", "rerank", "--queries", measured.questions, "--json")

    said = measured(*words, "--before", before, "--after", after)
    hard = measured(*words, "--min-delta-r5", "100")

    found = said.json
    assert found["component"] == "mlp-full@2"
    assert 0 < found["first_changed"] < 1
    assert found["on"]["Contain@50"] == found["off"]["Contain@50"]
    for one, other in zip(rows(before), rows(after), strict=True):
        assert set(one["top_k"]) == set(other["top_k"])
    gain = found["delta_pp"]["R@5"]
    passes = gain["mean"] >= 3 and gain["low"] >= 0 and found["on"]["Contain@50"]["mean"] >= 0.82
    assert said.code == (0 if passes else 1)
    assert hard.json["gates"][0]["ok"] is False
    assert hard.code == 1


def test_a_deployment_that_is_as_good_as_before_passes_and_one_without_reranker_does_not(
    measured: Measured, tmp_path: Path
) -> None:
    baseline = tmp_path / "baseline.json"
    common = ("--queries", measured.questions, "--json", *PATIENT)
    made = measured("eval", "run", *common, "--out", baseline, "--history", tmp_path / "h")
    check = ("eval", "check-rollback", "--baseline", baseline, *common, "--max-creep", "100000")

    same = measured(*check, "--expect", "ivf")
    other = measured(*check, "--expect", "base")
    record = json.loads(baseline.read_text())
    record["metrics"]["R@5"]["mean"] = 1.2
    baseline.write_text(json.dumps(record))
    worse = measured(*check)

    assert made.code == 0
    assert same.code == 0, same.out
    assert (other.code, worse.code) == (1, 1)
    assert [gate["ok"] for gate in other.json["gates"]] == [True, True, True, True, False]
    assert [gate["ok"] for gate in worse.json["gates"]] == [True, True, False, True]


def test_other_queries_than_the_baselines_are_refused(measured: Measured, tmp_path: Path) -> None:
    baseline, other = tmp_path / "baseline.json", tmp_path / "other.jsonl"
    history = ("--history", tmp_path / "h", *PATIENT)
    measured("eval", "run", "--queries", measured.questions, "--out", baseline, *history)
    other.write_text("\n".join(measured.questions.read_text().splitlines()[1:]))

    said = measured("eval", "check-rollback", "--baseline", baseline, "--queries", other)

    assert said.code == 2
    assert "does not hold the queries" in said.errors


def test_ids_of_another_collection_are_no_evaluation(measured: Measured, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text('{"id": "1", "text": "copy a tree", "relevant": ["no.such.passage"]}\n')
    bare = tmp_path / "bare.jsonl"
    bare.write_text('{"id": "1", "text": "copy a tree"}\n')

    nothing = measured("eval", "run", "--queries", wrong, "--history", tmp_path / "h")
    unlabelled = measured("eval", "run", "--queries", bare, "--history", tmp_path / "h")

    assert (nothing.code, unlabelled.code) == (4, 2)
    assert not (tmp_path / "h").exists()


def test_a_search_that_fails_is_counted_as_one_that_found_nothing(
    measured: Measured, tmp_path: Path
) -> None:
    said = measured(
        *("eval", "run", "--queries", measured.questions, "--collection", "nowhere", "--json"),
        *("--n", "5", "--history", tmp_path / "h"),
    )

    assert said.code == 1
    assert said.json["errors"] == {"UnknownCollection": 5}
    assert said.json["error_rate"] == 1.0
    assert said.json["metrics"]["Contain@50"]["mean"] == 0.0
