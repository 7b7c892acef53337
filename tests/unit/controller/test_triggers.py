"""Triggers in the runbook's words: parsed, measured on samples, fired after their whole duration."""

from pathlib import Path

import pytest

from services.controller.policy import load_policies, parse_policy, seconds
from services.controller.triggers import (
    METRICS,
    Condition,
    Heard,
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
    folder = {
        path.name: parse_policy(path.read_bytes(), path.name)
        for path in POLICIES.glob("*.yaml")
        if path.name != "rollback_triggers.yaml"
    }
    retriever = folder["retriever-v0.yaml"]

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
        seen = step(seen, 3.0, float(now))
        assert not seen.fired
    seen = step(seen, 3.0, 600.0)
    assert seen.fired
    seen = step(seen, 1.0, 610.0)
    assert (seen.fired, seen.since) == (False, None)
    seen = step(seen, 3.0, 620.0)
    assert not seen.fired


def test_a_gap_in_the_data_neither_fires_nor_forgets() -> None:
    seen = parse_triggers((POLICIES / "rollback_triggers.yaml").read_bytes(), "x")[0]
    seen = step(seen, 3.0, 0.0)

    seen = step(seen, None, 700.0)
    assert not seen.fired
    assert step(seen, 3.0, 701.0).fired


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

    assert METRICS["gpu_failure_rate"](heard) == pytest.approx(0.2)
    assert METRICS["embedding_duration_p95"](heard) == pytest.approx(3.0)
    assert METRICS["vllm_service_up"](heard) == 0.0
    assert METRICS["recall_at_5_drop"](heard) == pytest.approx(0.12)
    for measure in METRICS.values():
        assert measure(Heard([])) is None
