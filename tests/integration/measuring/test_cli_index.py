"""The commands that verify and tune an index, against a deployment with a real encoder and IVF lists."""

import json
from pathlib import Path

import pytest

from tests.deployments import MODULES
from tests.fleet import SERVICES
from tests.integration.measuring.conftest import Measured
from trimtab.corpus.stdlib import documents

pytestmark = pytest.mark.integration


def test_every_vector_of_the_index_and_of_the_encoder_has_unit_length(measured: Measured) -> None:
    said = measured("index", "norms", "--queries", measured.questions, "--json")

    assert said.code == 0, said.errors
    found = said.json
    assert found["ok"] is True
    assert found["kind"] == "ivf"
    assert found["stored"]["count"] == found["lists"]["count"] == found["passages"] > 300
    assert found["outputs"]["count"] == len(measured.questions.read_text().splitlines())
    assert found["models"]["mean"]["count"] == 32
    assert [gate["value"] for gate in found["gates"]] == [0, 0, 0, 0, 0]


def test_norms_that_no_f32_can_have_fail_the_gate(measured: Measured) -> None:
    said = measured("index", "norms", "--tolerance", "1e-9")

    assert said.code == 1
    assert "FAIL  stored vectors not of unit length" in said.out


def test_visiting_every_list_finds_all_and_loses_no_right_answer(
    measured: Measured, tmp_path: Path
) -> None:
    page = tmp_path / "verify.html"
    said = measured(
        *("index", "verify", "--queries", measured.questions, "--nprobe", "64"),
        *("--report", page, "--json"),
    )

    assert said.code == 0, said.errors
    found = said.json
    assert found["overlap"]["mean"] == found["overlap"]["min"] == 1.0
    assert found["delta_pp"]["R@5"]["mean"] == found["delta_pp"]["Contain@50"]["mean"] == 0.0
    assert found["members_left_out"] == 0
    html = page.read_text()
    assert "<svg" in html
    assert "PASS  overlap@10" in html
    assert "http" not in html.replace("http://www.w3.org/2000/svg", "")


def test_one_list_fails_the_gate_of_overlap_and_says_so(measured: Measured) -> None:
    said = measured("index", "verify", "--queries", measured.questions, "--nprobe", "1")

    assert said.code == 1
    assert "FAIL  overlap@10" in said.out
    assert "PASS  queries that are stored passages: 0" in said.out


def test_the_same_seed_measures_the_same(measured: Measured) -> None:
    words = ("index", "verify", "--queries", measured.questions, "--n", "25", "--nprobe", "2")

    first, again = (measured(*words, "--seed", "3", "--json") for _ in range(2))

    assert first.json == again.json


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{title}\n{text}", id="as-encoded"),
        pytest.param("{text}", id="without-their-titles"),
        pytest.param("  {text}\n", id="with-other-white-space"),
    ],
)
def test_stored_passages_are_no_held_out_queries(
    measured: Measured, tmp_path: Path, text: str
) -> None:
    copied = tmp_path / "members.jsonl"
    lines = [
        json.dumps({"id": each.id, "text": text.format(title=each.title, text=each.text)})
        for each in list(documents(MODULES))[:60]
    ]
    copied.write_text("\n".join(lines))

    alone = measured("index", "verify", "--queries", copied, "--json")
    mixed = tmp_path / "mixed.jsonl"
    mixed.write_text("\n".join(lines[:7]) + "\n" + measured.questions.read_text())
    among_others = measured("index", "verify", "--queries", mixed, "--nprobe", "64", "--json")

    assert alone.code == 4
    assert "0 of 60 queries are held out" in alone.errors
    assert among_others.code == 1
    assert among_others.json["members_left_out"] == 7
    assert among_others.json["queries"] == len(measured.questions.read_text().splitlines())
    assert [gate["ok"] for gate in among_others.json["gates"]] == [False, True, True, True]


def test_a_sweep_chooses_by_the_rule_and_apply_stands_in_the_audit(
    measured: Measured, tmp_path: Path
) -> None:
    page = tmp_path / "sweep.html"
    said = measured(
        *("index", "sweep", "--queries", measured.questions, "--nprobe", "1,8,64"),
        *("--target-p95", "60000", "--apply", "--report", page, "--json"),
    )

    assert said.code == 0, said.errors
    found = said.json
    by_nprobe = {point["nprobe"]: point for point in found["points"]}
    assert list(by_nprobe) == [1, 8, 64]
    assert by_nprobe[64]["delta_r10_pp"] == 0.0
    assert by_nprobe[64]["overlap"]["mean"] == 1.0 > by_nprobe[1]["overlap"]["mean"]
    good = [n for n, point in by_nprobe.items() if point["delta_r10_pp"] >= -0.5]
    assert found["choice"]["nprobe"] == min(good)
    assert found["applied"]["convergence"]["status"] == "converged"
    newest = measured("history", "--json").json[-1]
    assert newest["action"] == "set"
    assert newest["reason"].startswith(f"index sweep: nprobe={min(good)} (P95=")
    assert newest["diff"] == found["applied"]["diff"]
    assert page.read_text().count("<svg") == 2


def test_a_target_that_nothing_meets_sets_nothing(measured: Measured) -> None:
    before = measured("history", "--json").json

    said = measured(
        *("index", "sweep", "--queries", measured.questions, "--nprobe", "4", "--n", "20"),
        *("--target-p95", "0.01", "--min-delta-r10", "-100", "--apply", "--json"),
    )

    assert said.code == 1
    assert said.json["choice"]["nprobe"] is None
    assert "later than 0.01 ms" in said.json["choice"]["why"]
    assert measured("history", "--json").json == before


def test_a_file_without_queries_is_a_wrong_command_line(measured: Measured, tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")

    said = measured("index", "verify", "--queries", empty, "--json")

    assert said.code == 2
    assert said.json["error"]["name"] == "BadQueries"


def test_an_exact_index_is_not_swept(measured: Measured) -> None:
    said = measured("index", "sweep", "--queries", measured.questions, "--release", "base")

    assert said.code == 4
    assert "answers exactly" in said.errors


def test_a_healthy_deployment_is_diagnosed_as_such_with_everything_in_one_file(
    measured: Measured, tmp_path: Path
) -> None:
    out, page = tmp_path / "bundle.json", tmp_path / "page.html"
    said = measured(
        *("index", "diagnose", "--max-imbalance", "5", "--sample", "100", "--min-recall", "0.95"),
        *("--out", out, "--report", page, "--json"),
    )

    assert said.code == 0, said.out + said.errors
    found = said.json
    assert {worker["service"] for worker in found["workers"]} == set(SERVICES)
    assert found["oracle"]["asked"] == 100
    assert len(found["index"]["lists"]) == 6
    assert found["index"]["copies"]["beyond"] == 0
    actions = [entry["action"] for entry in found["commands"]]
    assert actions[:3] == ["create_release", "start_canary", "promote"]
    assert json.loads(out.read_text())["index"] == found["index"]
    assert "<rect" in page.read_text()


def test_lists_less_even_than_asked_fail_the_diagnosis(measured: Measured) -> None:
    said = measured("index", "diagnose", "--max-imbalance", "1.0", "--json")

    assert said.code == 1
    assert [g["name"] for g in said.json["gates"] if not g["ok"]] == ["imbalance of the lists"]


def test_a_collection_that_is_not_there_still_gives_a_bundle(measured: Measured) -> None:
    said = measured("index", "diagnose", "--collection", "nowhere", "--json")

    assert said.code == 1
    assert "unknown collection" in said.json["problems"][0]
    assert len(said.json["workers"]) == len(SERVICES)
