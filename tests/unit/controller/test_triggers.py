"""Triggers in the runbook's words: parsed, measured on samples, fired after their whole duration."""

from pathlib import Path
from typing import cast, get_args

import msgspec
import pytest

from services.controller.policy import load_policies, seconds
from services.controller.readings import METRICS, Heard, Reading
from services.controller.triggers import (
    FORGETS_S,
    Condition,
    Profile,
    Watch,
    parse_condition,
    parse_triggers,
    step,
)
from trimtab.contracts.errors import InvalidCommand
from trimtab.contracts.evaluation import Evaluation
from trimtab.contracts.samples import Sample
from trimtab.worker.sampler import Identity, Sampler

POLICIES = Path("deploy/policies")


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        pytest.param(
            "embedding_duration_p95 > 2s for 10 minutes",
            Condition("embedding_duration_p95", ">", 2.0, 600.0),
            id="latency",
        ),
        pytest.param(
            "gpu_failure_rate > 20% for 5 minutes",
            Condition("gpu_failure_rate", ">", 0.2, 300.0),
            id="share",
        ),
        pytest.param(
            "token_overflow_rate > 15% for 15 minutes",
            Condition("token_overflow_rate", ">", 0.15, 900.0),
            id="overflow",
        ),
        pytest.param(
            "vllm_service_up == 0 for 5 minutes",
            Condition("vllm_service_up", "==", 0.0, 300.0),
            id="down",
        ),
        pytest.param(
            "search_duration_p95 > 20ms for 10 minutes",
            Condition("search_duration_p95", ">", 0.02, 600.0),
            id="milliseconds",
        ),
    ],
)
def test_the_runbooks_conditions_are_understood(text: str, condition: Condition) -> None:
    parsed = parse_condition(text)

    assert (parsed.metric, parsed.operator) == (condition.metric, condition.operator)
    assert parsed.value == pytest.approx(condition.value)
    assert parsed.for_s == condition.for_s


@pytest.mark.parametrize(
    "text",
    ["p95 is bad", "embedding_duration_p95 > 2s", "made_up_metric > 1 for 5 minutes", ""],
)
def test_a_condition_that_nothing_could_evaluate_is_refused(text: str) -> None:
    with pytest.raises(InvalidCommand):
        parse_condition(text)


def test_the_shipped_files_parse_and_name_what_is_measured() -> None:
    watches = parse_triggers((POLICIES / "rollback_triggers.yaml").read_bytes(), "shipped")

    assert len(watches) >= 6
    assert {watch.condition.metric for watch in watches} <= set(METRICS)


def test_the_shipped_policies_parse_and_ramp_as_the_runbook_says() -> None:
    retriever = load_policies(POLICIES)["retriever-v0"]

    assert [step.weight for step in retriever.steps] == [5, 25, 50, 100]
    assert retriever.steps[0].hold_s == 7200
    assert retriever.guardrails[1].answers[0].set == {"retriever.nprobe": 4}


def test_an_unknown_key_in_a_policy_is_refused_by_name(tmp_path: Path) -> None:
    good = (POLICIES / "mapper.yaml").read_text()
    (tmp_path / "bad.yaml").write_text(good.replace("max_hold:", "max_hodl:"))

    with pytest.raises(InvalidCommand, match="max_hodl"):
        load_policies(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90), ("30m", 1800), ("6h", 21600), ("250ms", 0.25), ("2d", 172800)],
)
def test_durations_are_written_as_people_say_them(text: str, expected: float) -> None:
    assert seconds(text) == expected


def test_a_trigger_fires_once_after_its_whole_duration_and_again_after_a_recovery() -> None:
    now, seen = 0.0, parse_triggers((POLICIES / "rollback_triggers.yaml").read_bytes(), "x")[0]

    for now in range(0, 600, 10):
        seen = step(seen, Reading(3.0, 20), float(now))
        assert not seen.fired
    seen = step(seen, Reading(3.0, 20), 600.0)
    assert seen.fired
    seen = step(seen, Reading(1.0, 20), 610.0)
    assert (seen.fired, seen.since) == (False, None)
    seen = step(seen, Reading(3.0, 20), 620.0)
    assert not seen.fired


def test_a_gap_in_the_data_neither_fires_nor_forgets() -> None:
    seen = parse_triggers((POLICIES / "rollback_triggers.yaml").read_bytes(), "x")[0]
    seen = step(seen, Reading(3.0, 20), 0.0)

    seen = step(seen, None, 700.0)
    assert not seen.fired
    assert step(seen, Reading(3.0, 20), 701.0).fired


def near(value: float, requests: int) -> Reading:
    return Reading(cast("float", pytest.approx(value)), requests)


def sample(service: str, endpoint: str, *, ok: int = 0, failed: int = 0, ms: float = 1.0) -> Sample:
    sampler = Sampler(Identity(service, f"{service}-0", "1.0.0", 0.0))
    for _ in range(ok):
        sampler.observe(endpoint, "m@1", "base", "ok", ms)
    for _ in range(failed):
        sampler.observe(endpoint, "m@1", "base", "model_failed", ms)
    return sampler.take(0)


def test_metrics_are_measured_from_samples_and_say_nothing_without_data() -> None:
    samples = [sample("encoder", "encode", ok=8, failed=2, ms=3000.0)]

    evaluation = Evaluation(
        at=1.0, release="base", collection="docs", queries=300, recall_at_5=0.41, before=0.53
    )
    heard = Heard(samples, evaluation)

    assert METRICS["gpu_failure_rate"](heard) == near(0.2, 10)
    assert METRICS["embedding_duration_p95"](heard) == near(3.0, 10)
    assert METRICS["vllm_service_up"](heard) == Reading(0.0, 1)
    assert METRICS["recall_at_5_drop"](heard) == near(0.12, 300)
    assert METRICS["contain_at_50"](heard) is None
    for measure in METRICS.values():
        assert measure(Heard([])) is None


def mapping(*, ok: int, invalid: int = 0, killed: int = 0, unsure: int = 0) -> Sample:
    sampler = Sampler(Identity("mapper", "mapper-0", "1.0.0", 0.0))
    bad = {"schema_invalid": invalid, "fallback_kill_switch": killed}
    bad["fallback_low_confidence"] = unsure
    for _ in range(ok):
        sampler.observe("map", "m@1", "base", "ok", 1.0)
    taken = sampler.take(0)
    [part] = taken.endpoints
    return msgspec.structs.replace(taken, endpoints=[msgspec.structs.replace(part, bad=bad)])


def test_rules_that_were_ordered_are_no_fallback_and_no_answer_of_a_model() -> None:
    heard = Heard([mapping(ok=100, invalid=5, killed=50, unsure=10)])

    assert METRICS["map_fallback_rate"](heard) == near(0.1, 100)
    assert METRICS["map_schema_valid_rate"](heard) == near(0.9, 50)
    assert METRICS["map_schema_valid_rate"](Heard([mapping(ok=9, killed=9)])) is None


def encoder_at(at: float, texts: int, busy_s: float) -> Sample:
    facts: dict[str, float | int | str] = {"texts.a@1": texts, "busy_s.a@1": busy_s, "x": "y"}
    return msgspec.structs.replace(sample("encoder", "encode", ok=1), at=at, facts=facts)


def test_throughput_is_texts_per_second_of_work() -> None:
    heard = Heard([encoder_at(0.0, 100, 1.0), encoder_at(30.0, 1100, 3.0)])

    assert METRICS["embedding_throughput"](heard) == near(500.0, 1000)
    assert METRICS["embedding_throughput"](Heard([encoder_at(0.0, 100, 1.0)] * 2)) is None


def alert(**fields: object) -> Watch:
    entry = {
        "name": "a",
        "severity": "warning",
        "condition": "map_fallback_rate > 10% for 60 seconds",
    }
    return parse_triggers(msgspec.yaml.encode({"alerts": [entry | fields]}), "this test")[0]


def test_too_few_requests_prove_nothing() -> None:
    seen = alert(min_requests=50)

    for now in range(200):
        seen = step(seen, Reading(1.0, 49), float(now))
    assert (seen.since, seen.measured, seen.state(200.0)) == (None, None, "unknown")


def test_an_alert_is_pending_then_firing_then_quiet() -> None:
    seen = step(alert(), Reading(0.2, 50), 0.0)
    states = [seen.state(0.0), seen.state(59.0), seen.state(60.0)]
    seen = step(seen, Reading(0.1, 50), 61.0)

    assert states == ["pending", "pending", "firing"]
    assert seen.state(61.0) == "quiet"


def test_what_somebody_ordered_is_inhibited_and_starts_anew_when_the_order_ends() -> None:
    seen = step(alert(), Reading(0.2, 50), 0.0)
    ordered = step(seen, Reading(0.9, 50), 100.0, inhibited=True)
    after = step(ordered, Reading(0.9, 50), 101.0)

    assert (ordered.state(100.0), ordered.fired) == ("inhibited", False)
    assert step(ordered, Reading(0.0, 50), 101.0, inhibited=True).state(101.0) == "quiet"
    assert after.state(101.0) == "pending"


def test_what_has_not_been_measured_for_long_is_not_known_any_more() -> None:
    seen = step(alert(), Reading(0.2, 50), 0.0)
    seen = step(seen, Reading(0.2, 50), 60.0)

    assert step(seen, None, 59.0 + FORGETS_S).fired
    forgotten = step(seen, None, 60.0 + FORGETS_S)
    assert (forgotten.fired, forgotten.since) == (False, None)


def test_a_profile_picks_its_own_thresholds_from_the_shipped_alerts() -> None:
    data = (POLICIES / "alerts.yaml").read_bytes()
    limits = {
        profile: [
            watch.condition.value
            for watch in parse_triggers(data, "shipped", profile)
            if watch.trigger.name == "MapperLatencyP95High"
        ]
        for profile in get_args(Profile)
    }

    assert limits == {"cpu": [pytest.approx(0.25)], "gpu": [pytest.approx(0.15)]}
