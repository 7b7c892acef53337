"""Each interlock refuses what is unsafe and says why; what is safe passes them all."""

from collections.abc import Callable

import msgspec
import pytest

from services.controller.interlocks import Interlocks
from services.controller.policy import Guardrail, Policy, Step
from tests.unit.control.documents import controls, kill, release, state
from tests.unit.control.test_gates import GOOD
from trimtab.contracts.control import ControlState, Kill, Switch
from trimtab.contracts.gates import Gate, GateReport
from trimtab.contracts.orders import (
    Command,
    Finding,
    Order,
    PromoteCommand,
    ResumeCommand,
    RollBackCommand,
    SetWeightCommand,
    StartCanaryCommand,
)
from trimtab.contracts.samples import Readiness, WorkerStatus
from trimtab.control.commands import By, change_state
from trimtab.control.gates import MIN_CASES, Limit

NOW = 1_790_000_000.0
SPACE = "single_vector.minilm.384.v1"
POLICY = Policy(
    name="careful",
    source="this test",
    endpoint="pipeline_search",
    steps=[Step(weight=5, hold="1h")],
    max_hold="2h",
    guardrails=[
        Guardrail(name="errors", endpoint="pipeline_search", event="error", severity="critical")
    ],
    gates=[Gate.NORMS, Gate.INDEX],
    gates_max_age="7d",
)


QUALITY = (Limit("f1", least=0.9), Limit("p95_ms", most=250))
"""What this deployment's environment wants of a changed mapper."""

Facts = dict[str, float | int | str]


def worker(service: str, *components: str, facts: Facts | None = None) -> WorkerStatus:
    return WorkerStatus(
        service=service,
        instance=f"{service}-1",
        version="1",
        readiness=Readiness.READY,
        reason="",
        components=dict.fromkeys(components, "hash"),
        revision=1,
        age_s=0.1,
        silent=False,
        uptime_s=60.0,
        rss_bytes=1,
        requests=0,
        errors=0,
        p95_ms=None,
        facts=facts or {},
    )


def fleet() -> list[WorkerStatus]:
    """Everything that ``base`` and ``next`` need, in one space."""
    made: Facts = {"namespace.minilm-int8@1": SPACE, "dimension.minilm-int8@1": 384}
    held: Facts = {"namespace.stdlib": SPACE, "dimension.stdlib": 384}
    return [
        worker("encoder", "minilm-int8@1", facts=made),
        worker("retriever", "hybrid@1", facts=held),
        worker("reranker", "mlp-base@1", "mlp-next@1"),
        worker("mapper", "safety-head@1"),
    ]


def without(component: str) -> list[WorkerStatus]:
    return [
        msgspec.structs.replace(
            one, components={name: h for name, h in one.components.items() if name != component}
        )
        for one in fleet()
    ]


def with_fact(service: str, name: str, value: str | int) -> list[WorkerStatus]:
    return [
        msgspec.structs.replace(one, facts={**one.facts, name: value})
        if one.service == service
        else one
        for one in fleet()
    ]


def silent(service: str) -> list[WorkerStatus]:
    return [msgspec.structs.replace(one, silent=one.service == service) for one in fleet()]


def reports(
    changes: dict[str, float] | None = None, *, content: str = "", at: float = NOW
) -> dict[str, GateReport]:
    """Reports of both demanded gates of ``next``."""
    known = state("base", "next").releases["next"]
    return {
        gate.value: GateReport(
            gate=gate,
            release="next",
            release_hash=content or known.hash,
            cases=MIN_CASES,
            cases_hash="ab" * 32,
            figures={n: (changes or {}).get(n, value) for n, value in GOOD[gate].items()},
            at=at,
        )
        for gate in (Gate.NORMS, Gate.INDEX)
    }


def measured(**changes: float) -> ControlState:
    return msgspec.structs.replace(state("base", "next"), gates={"next": reports(changes)})


def findings(
    workers: list[WorkerStatus],
    before: ControlState | None = None,
    command: Command | None = None,
    *kills: Kill,
) -> dict[str, Finding]:
    before = measured() if before is None else before
    command = command or StartCanaryCommand(release="next", policy="careful")
    after = change_state(before, command, By("ana", "why", NOW))
    order = Order(operation="operation", command=command, actor="ana")
    judge = Interlocks(workers, {"careful": POLICY}, NOW, QUALITY)
    return {found.interlock: found for found in judge(controls(before, *kills), after, order)}


def refusals(*arguments: object) -> dict[str, str]:
    found = findings(*arguments)  # type: ignore[arg-type]
    return {name: finding.detail for name, finding in found.items() if not finding.ok}


def test_a_measured_release_that_is_loaded_everywhere_passes_every_interlock() -> None:
    found = findings(fleet())

    assert all(finding.ok for finding in found.values())
    assert set(found) == {
        "policy",
        *(f"loaded:{stage}" for stage in ("encode", "retrieve", "rerank", "map")),
        "banned",
        "namespace",
        "gate:norms",
        "gate:index",
        "rollback_target",
    }


def test_a_release_that_nobody_loaded_is_refused_by_stage() -> None:
    refused = refusals(without("mlp-next@1"))

    assert list(refused) == ["loaded:rerank"]
    assert "no live reranker has loaded mlp-next@1" in refused["loaded:rerank"]


def test_what_only_a_silent_worker_holds_is_not_loaded() -> None:
    assert "loaded:map" in refusals(silent("mapper"))


def test_an_encoder_that_makes_another_space_than_the_release_says_is_refused() -> None:
    workers = with_fact("encoder", "namespace.minilm-int8@1", "single_vector.other.768.v1")

    assert "makes single_vector.other.768.v1" in refusals(workers)["namespace"]


def test_a_collection_of_another_space_is_refused_by_name() -> None:
    workers = with_fact("retriever", "namespace.stdlib", "single_vector.other.768.v1")

    refused = refusals(workers)

    assert list(refused) == ["namespace"]
    assert (
        "collection stdlib on retriever-1 holds single_vector.other.768.v1" in refused["namespace"]
    )


def test_a_collection_that_no_release_can_search_is_no_reason_to_refuse_one() -> None:
    workers = with_fact("retriever", "namespace.other", "single_vector.other.768.v1")

    assert refusals(workers) == {}


def test_a_collection_of_another_dimension_is_refused() -> None:
    workers = with_fact("retriever", "dimension.stdlib", 768)

    assert "holds 768 numbers a vector, the encoder makes 384" in refusals(workers)["namespace"]


def test_a_release_of_another_namespace_than_the_stable_ones_is_refused() -> None:
    foreign = msgspec.structs.replace(release("next", rerank=None), namespace="other.v1")
    before = msgspec.structs.replace(state(), releases={**state().releases, "next": foreign})

    assert "beside the stable" in refusals(fleet(), before)["namespace"]


def test_without_a_report_of_each_demanded_gate_it_is_refused_with_the_remedy() -> None:
    refused = refusals(fleet(), state("base", "next"))

    assert set(refused) == {"gate:norms", "gate:index"}
    assert "trimtab release gate next --cases FILE" in refused["gate:norms"]


@pytest.mark.parametrize(
    ("figure", "value", "gate"),
    [
        ("norm_error", 2e-5, "gate:norms"),
        ("overlap_at_10", 0.94, "gate:index"),
        ("recall_at_5_loss", 0.026, "gate:index"),
        ("contain_at_50_loss", 0.02, "gate:index"),
    ],
)
def test_a_figure_beyond_its_limit_is_refused(figure: str, value: float, gate: str) -> None:
    refused = refusals(fleet(), measured(**{figure: value}))

    assert list(refused) == [gate]
    assert figure in refused[gate]


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (reports(content="0" * 12), "measured of 000000000000"),
        (reports(at=NOW - 8 * 86_400), "8.0 days"),
    ],
    ids=["of other content", "old"],
)
def test_a_report_of_other_content_or_too_old_does_not_count(
    made: dict[str, GateReport], says: str
) -> None:
    before = msgspec.structs.replace(state("base", "next"), gates={"next": made})

    assert says in refusals(fleet(), before)["gate:norms"]


def test_by_hand_nothing_need_be_measured_but_what_was_measured_must_have_passed() -> None:
    by_hand = StartCanaryCommand(release="next", weight_bp=500)

    assert refusals(fleet(), state("base", "next"), by_hand) == {}
    assert list(refusals(fleet(), measured(norm_error=1.0), by_hand)) == ["gate:norms"]


def remapped(quality: dict[str, float] | None = None, *, content: str = "") -> ControlState:
    """``next`` maps with another adapter than ``base``; all its other gates passed."""
    before = state("base", "next")
    new = msgspec.structs.replace(before.releases["next"], map="safety-head@2")
    made = reports(content=new.hash)
    if quality is not None:
        made["quality"] = GateReport(
            gate=Gate.QUALITY,
            release="next",
            release_hash=content or new.hash,
            cases=MIN_CASES,
            cases_hash="cd" * 32,
            figures={**GOOD[Gate.QUALITY], **quality},
            at=NOW,
        )
    releases = {**before.releases, "next": new}
    return msgspec.structs.replace(before, releases=releases, gates={"next": made})


def mappers() -> list[WorkerStatus]:
    return [*fleet(), worker("mapper", "safety-head@1", "safety-head@2")]


BY_POLICY = StartCanaryCommand(release="next", policy="careful")
BY_HAND = StartCanaryCommand(release="next", weight_bp=500)


@pytest.mark.parametrize("start", [BY_POLICY, BY_HAND], ids=["by a policy", "by hand"])
def test_a_release_that_changes_the_mapper_takes_no_request_before_its_quality_was_measured(
    start: StartCanaryCommand,
) -> None:
    refused = refusals(mappers(), remapped(), start)

    assert list(refused) == ["gate:quality"]
    assert "trimtab mapper quality validate next" in refused["gate:quality"]
    assert refusals(mappers(), remapped({}), start) == {}


@pytest.mark.parametrize(
    ("figures", "content", "says"),
    [
        ({"failed_checks": 1.0}, "", "failed_checks is 1"),
        ({"f1": 0.85}, "", "f1 is 0.85, at least 0.9 wanted"),
        ({"p95_ms": 300.0}, "", "p95_ms is 300, at most 250 allowed"),
        ({}, "0" * 12, "measured of 000000000000"),
    ],
    ids=["failed where it was measured", "too wrong here", "too slow here", "of other content"],
)
def test_a_quality_report_must_be_of_this_content_and_keep_this_environments_limits(
    figures: dict[str, float], content: str, says: str
) -> None:
    refused = refusals(mappers(), remapped(figures, content=content), BY_HAND)

    assert says in refused["gate:quality"]


@pytest.mark.parametrize("command", [SetWeightCommand(weight_bp=5000), PromoteCommand()])
def test_a_changed_mapper_that_was_forced_to_start_owes_its_quality_at_every_further_step(
    command: Command,
) -> None:
    ramping = change_state(remapped(), BY_HAND, By("ana", "forced", NOW))

    assert list(refusals(mappers(), ramping, command)) == ["gate:quality"]


def test_a_mapper_setting_of_the_release_counts_as_a_change_and_a_rollback_owes_nothing() -> None:
    before = state("base", "next")
    new = msgspec.structs.replace(
        before.releases["next"], settings={"mapper.confidence_threshold": 0.3}
    )
    changed = msgspec.structs.replace(
        before, releases={**before.releases, "next": new}, previous="next"
    )

    assert "gate:quality" in refusals(mappers(), changed, BY_HAND)
    assert refusals(mappers(), changed, RollBackCommand()) == {}


def test_taking_the_weight_into_ones_own_hand_does_not_shed_the_gates() -> None:
    ramping = change_state(
        state("base", "next"),
        StartCanaryCommand(release="next", policy="careful"),
        By("ana", "forced", NOW),
    )

    refused = refusals(fleet(), ramping, SetWeightCommand(weight_bp=5000))

    assert set(refused) == {"gate:norms", "gate:index"}


@pytest.mark.parametrize("command", [ResumeCommand, PromoteCommand])
def test_resuming_and_promoting_are_held_to_the_same(command: Callable[[], Command]) -> None:
    start = StartCanaryCommand(release="next", policy="careful")
    ramping = change_state(measured(), start, By("ana", "why", NOW))

    assert "loaded:rerank" in refusals(without("mlp-next@1"), ramping, command())


def test_a_policy_that_this_controller_does_not_know_is_refused() -> None:
    unknown = StartCanaryCommand(release="next", policy="bold")

    assert refusals(fleet(), None, unknown)["policy"] == "bold is not one of: careful"


def test_a_banned_release_is_refused_until_its_switch_is_taken_back() -> None:
    start = StartCanaryCommand(release="next", policy="careful")
    banned = kill(Switch.RELEASE, "next")

    assert "restore release=next" in refusals(fleet(), None, start, banned)["banned"]


def test_a_canary_beside_a_stable_release_that_nobody_holds_has_nothing_to_return_to() -> None:
    refused = refusals(without("mlp-base@1"))

    assert list(refused) == ["rollback_target"]
    assert "mlp-base@1 of base" in refused["rollback_target"]


def test_returning_to_a_release_that_nobody_holds_is_refused() -> None:
    before = msgspec.structs.replace(state("base", "old"), previous="old")

    refused = refusals(fleet(), before, RollBackCommand())

    assert "no live reranker has loaded mlp-old@1" in refused["loaded:rerank"]


def test_taking_a_canary_back_is_never_refused() -> None:
    start = StartCanaryCommand(release="next", policy="careful")
    ramping = change_state(measured(), start, By("ana", "why", NOW))

    assert findings([], ramping, RollBackCommand()) == {}
