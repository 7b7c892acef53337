"""A report passes by its figures alone, of enough cases, of exactly this release, and not for ever."""

import math

import msgspec
import pytest

from tests.unit.control.documents import release, state
from trimtab.contracts.errors import InvalidCommand, UnknownRelease
from trimtab.contracts.gates import Gate, GateReport
from trimtab.contracts.orders import RecordGateCommand
from trimtab.control.commands import By, change_state
from trimtab.control.gates import (
    LIMITS,
    MIN_CASES,
    Limit,
    changes_mapper,
    refusal,
    shortfall,
)

NEXT = release("next")
NOW, MONTH_S = 1_790_000_000.0, 30 * 86_400.0
GOOD = {
    Gate.NORMS: {"norm_error": 1e-6},
    Gate.INDEX: {"overlap_at_10": 0.97, "recall_at_5_loss": 0.002, "contain_at_50_loss": 0.0},
    Gate.GOLDEN: {"search_loss": 0.0, "map_loss": -0.02},
    Gate.QUALITY: {"failed_checks": 0.0, "f1": 0.97, "p95_ms": 12.0},
}


def report(gate: Gate = Gate.NORMS, **changes: object) -> GateReport:
    fields: dict[str, object] = {
        "gate": gate,
        "release": "next",
        "release_hash": NEXT.hash,
        "cases": MIN_CASES,
        "cases_hash": "ab" * 32,
        "figures": GOOD[gate],
        "at": NOW,
    }
    return GateReport(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("gate", list(Gate))
def test_good_figures_of_this_release_pass(gate: Gate) -> None:
    assert refusal(report(gate), gate, NEXT, now=NOW, max_age_s=MONTH_S) == ""


@pytest.mark.parametrize(
    ("gate", "figure", "value"),
    [
        (Gate.NORMS, "norm_error", 1.1e-5),
        (Gate.NORMS, "norm_error", math.nan),
        (Gate.INDEX, "overlap_at_10", 0.949),
        (Gate.INDEX, "recall_at_5_loss", 0.026),
        (Gate.INDEX, "contain_at_50_loss", 0.011),
        (Gate.GOLDEN, "search_loss", 0.011),
        (Gate.GOLDEN, "map_loss", 0.5),
        (Gate.QUALITY, "failed_checks", 1.0),
    ],
)
def test_one_figure_beyond_its_limit_fails_and_is_named(
    gate: Gate, figure: str, value: float
) -> None:
    broken = report(gate, figures={**GOOD[gate], figure: value})

    assert figure in shortfall(broken)


def test_overlap_alone_does_not_pass_an_index() -> None:
    alone = report(Gate.INDEX, figures={"overlap_at_10": 1.0})

    assert "recall_at_5_loss" in shortfall(alone)


def test_golden_cases_may_be_of_one_kind_but_not_of_none() -> None:
    assert shortfall(report(Gate.GOLDEN, figures={"map_loss": 0.0})) == ""
    assert shortfall(report(Gate.GOLDEN, figures={})) != ""


def test_further_limits_of_a_deployment_hold_beside_the_gates_own() -> None:
    measured = report(Gate.QUALITY)

    assert shortfall(measured, [Limit("f1", least=0.9), Limit("p95_ms", most=250)]) == ""
    assert "f1 is 0.97, at least 0.98 wanted" in shortfall(measured, [Limit("f1", least=0.98)])
    assert "no fallback in the report" in shortfall(measured, [Limit("fallback", most=0.1)])


def test_a_mapper_is_changed_by_its_component_or_by_its_settings_and_by_nothing_else() -> None:
    base = msgspec.structs.replace(NEXT, name="base", settings={"mapper.confidence_threshold": 0.6})
    changed = msgspec.structs.replace

    assert changes_mapper(changed(base, map="safety-head@2"), base)
    assert changes_mapper(changed(base, settings={}), base)
    assert changes_mapper(changed(base, settings={"mapper.confidence_threshold": 0.5}), base)
    assert not changes_mapper(
        changed(base, rerank=None, settings={**base.settings, "retriever.nprobe": 4}), base
    )


def test_what_is_wanting_of_a_quality_report_names_the_command_that_measures_it() -> None:
    why = refusal(None, Gate.QUALITY, NEXT, now=NOW, max_age_s=MONTH_S)

    assert "trimtab mapper quality validate next" in why


def test_too_few_cases_prove_nothing() -> None:
    assert f"at least {MIN_CASES}" in shortfall(report(cases=MIN_CASES - 1))


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (None, "nothing was measured of next"),
        (report(release_hash="0" * 12), "measured of 000000000000"),
        (report(at=NOW - 31 * 86_400), "31.0 days ago, 30 allowed"),
    ],
    ids=["missing", "of other content", "old"],
)
def test_what_is_missing_of_other_content_or_old_is_refused_with_the_remedy(
    found: GateReport | None, says: str
) -> None:
    why = refusal(found, Gate.NORMS, NEXT, now=NOW, max_age_s=MONTH_S)

    assert says in why
    assert "trimtab release gate next --cases FILE" in why


def test_every_gate_has_limits() -> None:
    assert set(LIMITS) == set(Gate)
    assert all(LIMITS.values())


def test_reports_are_kept_beside_the_release_newest_by_gate() -> None:
    before = msgspec.structs.replace(state(), releases={"base": release("base"), "next": NEXT})
    by = By("ana", "measured", NOW)

    once = change_state(before, RecordGateCommand(report=report()), by)
    newer = report(figures={"norm_error": 2e-6})
    twice = change_state(once, RecordGateCommand(report=newer), by)
    other = change_state(twice, RecordGateCommand(report=report(Gate.GOLDEN)), by)

    assert twice.gates["next"] == {"norms": newer}
    assert set(other.gates["next"]) == {"norms", "golden"}


def test_a_report_of_another_content_or_of_no_release_is_not_kept() -> None:
    before = msgspec.structs.replace(state(), releases={"base": release("base"), "next": NEXT})
    by = By("ana", "measured", NOW)

    with pytest.raises(InvalidCommand, match="measure it again"):
        change_state(before, RecordGateCommand(report=report(release_hash="0" * 12)), by)
    with pytest.raises(UnknownRelease):
        change_state(before, RecordGateCommand(report=report(release="ghost")), by)
