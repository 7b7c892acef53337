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


def test_a_record_says_what_was_in_force_when_it_was_made(
    measured: Measured, tmp_path: Path
) -> None:
    history = tmp_path / "h"
    tenant = ("--tenant", "steered")
    run = (
        "eval",
        "run",
        "--queries",
        measured.questions,
        "--n",
        "20",
        "--history",
        history,
        *tenant,
    )
    steers = (
        ("set", "retriever.nprobe", "3", "--reason", "test"),
        ("kill", "reranker=off", "--reason", "test"),
    )

    usual = measured(*run, *PATIENT, "--json")
    for words in steers:
        assert measured(*words, *tenant, "--wait", "60").code == 0
    steered = measured(*run, *PATIENT, "--json")
    alone = measured(*run, "--no-rerank", "--json")

    assert [said.code for said in (usual, steered, alone)] == [0, 0, 0], usual.errors
    before, after = usual.json["in_force"], steered.json["in_force"]
    assert before.pop("revision") < after.pop("revision")
    asked = {"retriever.impl": "last_vec"}
    assert before.pop("nprobe") not in (None, 3)
    assert before == {**asked, "rerank": True, "switches": []}
    assert after == {**asked, "nprobe": 3, "rerank": False, "switches": ["reranker=off"]}
    assert alone.json["in_force"]["rerank"] is False
    assert rows(history)[1]["in_force"]["nprobe"] == 3


def test_queries_of_articles_that_training_saw_are_left_out_and_counted(
    measured: Measured, tmp_path: Path
) -> None:
    asked = rows(measured.questions)
    seen = tmp_path / "seen.jsonl"
    article = asked[0]["cluster"]
    seen.write_text(json.dumps({"article": article, "text": "of the training set"}) + "\n")
    everything = tmp_path / "all.txt"
    everything.write_text("\n".join({each["cluster"] for each in asked}))
    run = ("eval", "run", "--queries", measured.questions, "--history", tmp_path / "h", *PATIENT)

    some = measured(*run, "--trained-on", seen, "--json")
    none = measured(*run, "--trained-on", everything, "--json")

    left_out = sum(each["cluster"] == article for each in asked)
    assert some.code == 0, some.errors
    assert some.json["split"] == {"trained_on": 1, "left_out": left_out}
    assert some.json["queries"] == len(asked) - left_out
    assert article not in {each["cluster"] for each in some.json["per_cluster"]}
    assert (none.code, none.json["error"]["name"]) == (4, "Inconclusive")


def test_a_run_that_cannot_be_published_is_one_value_with_its_figures_and_why(
    measured: Measured, tmp_path: Path
) -> None:
    run = (
        *("eval", "run", "--queries", measured.questions, "--n", "20", "--publish", "--json"),
        *("--history", tmp_path / "h", *PATIENT),
    )

    first, second = measured(*run), measured(*run)

    assert (first.code, second.code) == (1, 0), second.errors
    assert first.json["queries"] == 20
    assert first.json["published"] is False
    assert "no earlier run" in first.json["error"]["problem"]
    assert second.json["published"] is True
    assert "error" not in second.json


def test_a_reranker_that_nobody_serves_is_named_beside_those_that_are(measured: Measured) -> None:
    said = measured(
        *("eval", "rerank", "--queries", measured.questions, "--n", "20"),
        *("--component", "nope@1", "--json"),
    )

    assert said.code == 1
    assert "no reranker serves nope@1" in said.json["error"]["problem"]
    assert "mlp-full@2" in said.json["error"]["problem"]


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
