"""The report of a mapper's quality: every check, the worst detector, one verdict, and the commands that print it."""

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from services.mapper.quality import check_coverage, validate
from services.mapper.quality.cases import GOLDEN, Golden, read_golden
from services.mapper.quality.coverage import coverage
from services.mapper.quality.report import Measured, checks, lines, shape, worst
from services.mapper.quality.scoring import Answer, score
from services.mapper.quality.smoke import drawn
from tests.unit.control.documents import release
from tests.unit.mapper.shipped import detectors, taxonomy
from trimtab.contracts.gates import Gate
from trimtab.contracts.mapping import UNKNOWN, DecidedBy, FallbackReason
from trimtab.control.gates import shortfall
from trimtab.control.quality import QUALITY_FILE, Environment, parse_thresholds

LIMITS = parse_thresholds((Path("deploy/policies") / QUALITY_FILE).read_bytes(), QUALITY_FILE)[
    Environment.PROD
].limits("cpu")


def golden() -> Golden:
    return read_golden(GOLDEN, taxonomy())


def perfect() -> Measured:
    """Every case answered as it says, in 10 ms."""
    scored = tuple(
        score(
            case,
            Answer(tuple(case.expected), case.decided_by or "model", None, 10.0),
            taxonomy().labels,
        )
        for case in golden().cases
    )
    covered = coverage(golden(), detectors().by_name, taxonomy())
    return Measured(scored, covered, {"adapter": ["a@1"]}, by_order=False)


def with_answers(detector: str, share: float, answer: Answer) -> Measured:
    """Of one detector the first ``share`` of the cases with something to say is answered otherwise."""
    good = perfect()
    wanted = [s for s in good.of(detector) if s.case.expected != [UNKNOWN]]
    spoilt = {each.case.id for each in wanted[: int(share * len(wanted))]}
    scored = tuple(
        score(each.case, answer, taxonomy().labels) if each.case.id in spoilt else each
        for each in good.scored
    )
    return replace(good, scored=scored)


def failed(measured: Measured) -> set[str]:
    return {check.name for check in checks(measured, LIMITS) if not check.ok}


def test_right_answers_pass_every_check() -> None:
    assert failed(perfect()) == set()
    assert shape(perfect(), checks(perfect(), LIMITS))["verdict"] == "PASS"
    assert lines(perfect(), checks(perfect(), LIMITS))[-1] == "PASS"


@pytest.mark.parametrize(
    ("share", "answer", "names"),
    [
        (0.3, Answer((UNKNOWN,), "unknown", None, 10.0), {"f1", "f1_held_out"}),
        (0.1, Answer(("HARM.SPEECH.Hate",), "rules", None, 900.0), {"p95_ms"}),
        (0.2, Answer((), None, None, 10.0, "RemoteError"), {"schema_valid", "fallback", "f1"}),
    ],
    ids=["nobody knows", "slow", "errors"],
)
def test_one_bad_detector_among_good_ones_fails(
    share: float, answer: Answer, names: set[str]
) -> None:
    assert names <= failed(with_answers("bedrock-guardrails", share, answer))


def test_low_confidence_in_a_tenth_of_one_detectors_cases_fails_the_fallback_alone() -> None:
    good = perfect()
    unsure = tuple(
        replace(each, answer=replace(each.answer, reason=FallbackReason.LOW_CONFIDENCE))
        if each.case.detector == "perspective"
        else each
        for each in good.scored
    )

    assert failed(replace(good, scored=unsure)) == {"fallback"}


def test_answers_of_two_versions_or_under_the_kill_switch_are_no_measurement() -> None:
    good = perfect()
    switched = tuple(
        replace(each, answer=replace(each.answer, reason=FallbackReason.KILL_SWITCH))
        for each in good.scored
    )

    assert failed(replace(good, versions={"adapter": ["a@1", "a@2"]})) == {
        "versions of one part that answered"
    }
    assert failed(replace(good, scored=switched)) == {"answers under the kill-switch"}
    assert failed(replace(good, scored=switched, by_order=True)) == set()


def test_a_declared_detector_without_cases_fails_the_count() -> None:
    good = perfect()
    more = coverage(golden(), [*detectors().by_name, "brand-new"], taxonomy())

    assert failed(replace(good, coverage=more)) == {"golden_cases"}


def test_too_little_of_the_taxonomy_fails_the_coverage() -> None:
    few = coverage(
        read_golden(GOLDEN, taxonomy(), only=["perspective"]), ["perspective"], taxonomy()
    )

    assert failed(replace(perfect(), coverage=few)) == {"taxonomy_coverage"}
    assert "PRIVACY.ID" in few.missing


def test_what_the_controller_keeps_passes_exactly_when_the_report_did() -> None:
    new = release("next")

    def kept(measured: Measured) -> str:
        told = {**shape(measured, checks(measured, LIMITS)), "at": 1.0}
        made = validate.gate_report(new, golden(), told, worst(measured))
        assert (made.gate, made.release_hash, made.cases_hash) == (
            Gate.QUALITY,
            new.hash,
            golden().hash,
        )
        return shortfall(made, LIMITS)

    assert kept(perfect()) == ""
    broken = Answer((UNKNOWN,), "unknown", None, 10.0)
    assert "failed_checks" in kept(with_answers("perspective", 0.5, broken))
    assert "f1 is" in kept(with_answers("perspective", 0.5, broken))


def test_a_report_is_json_and_holds_no_output_of_a_case() -> None:
    told = shape(
        with_answers("openai-moderation", 0.2, Answer((UNKNOWN,), "unknown", None, 1.0)),
        checks(perfect(), LIMITS),
    )
    text = msgspec.json.encode(told).decode()

    assert json.loads(text)["detectors"]["perspective"]["all"]["passed"]["of"] >= 100
    assert "attributeScores" not in text
    assert "harassment/threatening" not in text


def test_a_smoke_draw_is_spread_over_detectors_the_same_for_a_seed_and_only_of_certain_cases() -> (
    None
):
    cases = golden().cases
    some = drawn(cases, 12, seed=3)

    assert some == drawn(cases, 12, seed=3)
    assert some != drawn(cases, 12, seed=4)
    assert {case.detector for case in some} == set(detectors().by_name)
    assert {case.decided_by for case in some} == {"rules"}
    assert len(drawn(cases, 10_000, seed=0)) == sum(case.decided_by == "rules" for case in cases)


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_the_rules_alone_pass_in_process_by_every_environments_quality_and_say_so(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    generous = tmp_path / "quality.yaml"
    shipped = (Path("deploy/policies") / QUALITY_FILE).read_text()
    # How long it takes on this machine is not the matter here.
    generous.write_text(shipped.replace("cpu: 250", "cpu: 60000"))
    out = tmp_path / "report.json"

    code = validate.main(
        [
            "--in-process",
            "--rules-only",
            "--thresholds",
            str(generous),
            "--output",
            str(out),
            "--json",
        ]
    )

    found = told(capsys)
    assert code == 0, found["checks"]
    assert (found["verdict"], found["release"], found["recorded"]) == ("PASS", None, False)
    assert json.loads(out.read_text()) == found


def test_a_threshold_that_is_not_reached_ends_the_command_with_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    strict = tmp_path / "quality.yaml"
    shipped = (Path("deploy/policies") / QUALITY_FILE).read_text()
    strict.write_text(shipped.replace("min_golden_cases: 100", "min_golden_cases: 100000"))

    code = validate.main(["--in-process", "--rules-only", "--thresholds", str(strict), "--json"])

    found = told(capsys)
    assert (code, found["ok"]) == (1, False)


@pytest.mark.parametrize(
    ("cases", "by"), [(["HARM.SPEECH.Hate"], "rules"), (["OTHER.Benign"], "rules")]
)
def test_a_case_that_the_rules_answer_wrongly_is_named_by_id(
    cases: list[str], by: DecidedBy, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for path in GOLDEN.glob("*.jsonl"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    file = tmp_path / "perspective.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows[0]["expected"], rows[0]["decided_by"] = cases, by
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))

    validate.main(["--in-process", "--rules-only", "--cases", str(tmp_path), "--json"])

    failing = told(capsys)["failing"]
    assert isinstance(failing, list)
    assert [row["id"] for row in failing if row["id"] == rows[0]["id"]] == [rows[0]["id"]]


def test_coverage_is_enough_in_every_environment_and_wanting_where_cases_are_few(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    codes = [check_coverage.main(["--environment", e, "--json"]) for e in Environment]
    capsys.readouterr()
    (tmp_path / "perspective.jsonl").write_bytes((GOLDEN / "perspective.jsonl").read_bytes())
    few = check_coverage.main(["--cases", str(tmp_path), "--json"])
    found = told(capsys)

    assert (codes, few) == ([0, 0, 0], 1)
    assert found["cases"] == {
        name: 112 if name == "perspective" else 0 for name in detectors().by_name
    }


def test_a_file_of_thresholds_that_cannot_be_read_is_one_error_with_what_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = validate.main(["--in-process", "--rules-only", "--thresholds", "nowhere.yaml", "--json"])

    error = told(capsys)["error"]
    assert code == 1
    assert isinstance(error, dict)
    assert "--thresholds" in error["remedy"]
