"""The commands that build an index, against a deployment with a real encoder: built, judged, refused, nothing changed."""

import json
from pathlib import Path

import pytest

from services.retriever.component import load_component
from tests.integration.measuring.conftest import Measured
from trimtab.corpus.stdlib import COLLECTION
from trimtab.evaluation.truth import read_truth
from trimtab.evaluation.vectorbundle import read_bundle

pytestmark = pytest.mark.integration

EVERY_LIST = ("--kind", "ivf", "--nlist", "6", "--nprobe", "6", "--max-imbalance", "5")


def test_an_index_is_built_of_the_live_collection_and_the_same_one_from_what_was_kept(
    measured: Measured, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    said = measured(
        *("index", "build", COLLECTION, "--queries", measured.questions, *EVERY_LIST),
        *("--out", tmp_path / "one", "--name", "lists@7", "--keep", tmp_path / "kept"),
        *("--report", page, "--json"),
    )

    assert said.code == 0, said.out + said.errors
    found = said.json
    folder = tmp_path / "one" / "lists@7"
    component = load_component(folder)
    kept = read_bundle(tmp_path / "kept")
    assert found["ok"] is True
    assert found["overlap"]["mean"] == 1.0
    assert found["pushed"] is False
    assert len(kept.ids) == found["record"]["passages"] == sum(found["lists"]) > 300
    assert len(kept.queries) == len(measured.questions.read_text().splitlines())
    assert component.trained[COLLECTION].record.nlist == 6
    assert len(read_truth(folder / f"truth/{COLLECTION}.jsonl")) == found["record"]["queries"]
    assert "<rect" in page.read_text()

    base = next((measured.fleet.home / "components").glob("hybrid@2-*"))
    again = measured(
        *("index", "build", COLLECTION, "--bundle", tmp_path / "kept", "--base", base),
        *(*EVERY_LIST, "--out", tmp_path / "two", "--name", "lists@7", "--json"),
    )

    assert again.code == 0, again.errors
    assert again.json["hash"] == found["hash"]


def test_what_nobody_judged_is_not_pushed_and_both_forms_say_why(
    measured: Measured, tmp_path: Path
) -> None:
    few = tmp_path / "few.jsonl"
    few.write_text("".join(measured.questions.read_text().splitlines(keepends=True)[:3]))
    words = ("index", "build", COLLECTION, *EVERY_LIST, "--out", tmp_path / "made")

    none = measured(*words, "--push", "--json")
    three = measured(*words, "--push", "--queries", few, "--json")
    again = measured(*words, "--queries", few, "--name", "hybrid@9", "--json")

    assert (none.code, three.code, again.code) == (4, 4, 0), three.errors + again.errors
    assert "without --queries" in none.json["error"]["problem"]
    assert three.json["pushed"] is False
    assert "fewer than 20" in three.json["error"]["problem"]
    assert three.json["unjudged"] == again.json["unjudged"] != ""


def test_an_index_that_finds_too_little_is_not_pushed(measured: Measured, tmp_path: Path) -> None:
    said = measured(
        *("index", "build", COLLECTION, "--queries", measured.questions, "--kind", "ivf"),
        *("--nlist", "6", "--nprobe", "1", "--out", tmp_path, "--name", "poor@1", "--push"),
        "--json",
    )

    assert said.code == 1
    assert said.json["pushed"] is False
    failed = {gate["name"] for gate in said.json["gates"] if not gate["ok"]}
    assert "overlap@10" in failed


def test_a_rebuild_that_a_gate_refuses_changes_nothing(measured: Measured) -> None:
    before = measured("release", "list", "--json").json

    said = measured(
        *("index", "rebuild", COLLECTION, "--queries", measured.questions),
        *("--nlist", "6", "--nprobe", "1", "--json"),
    )

    assert said.code == 1
    assert said.json["state"] == "refused"
    assert said.json["took_s"]["build"] > 0
    assert measured("release", "list", "--json").json == before


def test_a_dry_run_of_a_rebuild_builds_and_judges_and_changes_nothing(measured: Measured) -> None:
    before = measured("release", "list", "--json").json

    said = measured(
        *("index", "rebuild", COLLECTION, "--queries", measured.questions, *EVERY_LIST),
        *("--dry-run", "--json"),
    )

    assert said.code == 0, said.out + said.errors
    assert said.json["state"] == "dry_run"
    assert said.json["component"] == "hybrid@3"
    assert measured("release", "list", "--json").json == before


def test_flat_truth_is_written_under_a_checksum_and_the_same_the_second_time(
    measured: Measured, tmp_path: Path
) -> None:
    words = ("index", "truth", "--queries", measured.questions, "--out", tmp_path / "truth.jsonl")

    first, again = measured(*words, "--json"), measured(*words, "--json")

    assert first.code == again.code == 0, first.errors + again.errors
    answers = read_truth(tmp_path / "truth.jsonl")
    assert first.json["sha256"] == again.json["sha256"]
    assert (first.json["kept"], again.json["kept"]) == (None, 1.0)
    assert len(answers) == first.json["queries"]
    assert all(len(answer.ids) == len(answer.cosines) == 50 for answer in answers)
    texts = [json.loads(line)["text"] for line in measured.questions.read_text().splitlines()]
    sentences = [text for text in texts if " " in text]  # some are the very name of a passage
    assert len(sentences) > 10
    assert not any(text in (tmp_path / "truth.jsonl").read_text() for text in sentences)


def test_what_cannot_be_built_says_what_to_do(measured: Measured, tmp_path: Path) -> None:
    wrong_kind = measured("index", "build", COLLECTION, "--kind", "tree", "--out", tmp_path)
    parts = measured(
        *("index", "build", COLLECTION, "--kind", "ivf_pq", "--pq-parts", "5", "--out", tmp_path)
    )

    assert (wrong_kind.code, parts.code) == (2, 1)
    assert "no kind of index" in wrong_kind.errors
    assert "cannot be cut into 5 equal parts" in parts.errors


def test_a_build_that_was_refused_leaves_its_place_to_the_next_one(
    measured: Measured, tmp_path: Path
) -> None:
    words = ("index", "build", COLLECTION, "--out", tmp_path, "--kind", "ivf")

    many = measured(*words, "--nlist", "5000")
    fewer = measured(*words, "--nlist", "6", "--max-imbalance", "5")

    assert many.code == 1
    assert "fewer than 5000 lists" in many.errors
    assert fewer.code == 0, fewer.errors


def test_a_rebuild_while_another_canary_runs_is_refused_before_anything_is_built(
    measured: Measured,
) -> None:
    canary = ("release", "create", "other", "--setting", "retriever.nprobe=5", "--wait", "60")
    assert measured(*canary).code == 0
    try:
        started = measured("canary", "start", "other", "--weight", "0", "--wait", "60")
        said = measured("index", "rebuild", COLLECTION, "--queries", measured.questions, "--json")
    finally:
        measured("canary", "abort", "--wait", "60")
        gone = measured("release", "delete", "other", "--wait", "60")

    assert started.code == gone.code == 0, started.errors + gone.errors
    assert said.code == 1
    assert "other is being ramped" in said.json["error"]["problem"]
    assert "component" not in said.json
