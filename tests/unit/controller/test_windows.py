"""What a canary is compared with: all of stable for counted events, the control group for latency and ratio."""

from datasketches import kll_doubles_sketch

from services.controller.analysis import Outcome, judge, judge_guardrail
from services.controller.counttest import Counts, CountTest
from services.controller.policy import Guardrail, Policy, Step
from services.controller.windows import Rollout, counts
from trimtab.contracts.samples import EndpointSample, Readiness, Sample
from trimtab.control.assignment import Role

ROLLOUT = Rollout("next", "base")


def part(role: str, release: str, ok: int, failed: int, slow: int = 0) -> EndpointSample:
    sketch = kll_doubles_sketch(200)
    for index in range(ok + failed):
        sketch.update(50.0 if index < slow else 1.0)
    return EndpointSample(
        endpoint="search",
        component="",
        release=release,
        role=role,
        outcomes={"ok": ok, "internal": failed},
        latency=sketch.serialize(),
        bad={"low_cosine": failed},
    )


def sample(*endpoints: EndpointSample) -> Sample:
    return Sample(
        service="gateway",
        instance="gateway-1",
        version="1",
        readiness=Readiness.READY,
        reason="",
        components={},
        revision=1,
        started_at=0.0,
        at=1.0,
        interval_s=1.0,
        rss_bytes=1,
        in_flight=0,
        endpoints=list(endpoints),
    )


SAMPLE = sample(
    part(Role.CANARY, "next", 45, 5, slow=10),
    part(Role.CONTROL, "base", 49, 1, slow=4),
    part(Role.STABLE, "base", 880, 20, slow=100),
    part("", "base", 1000, 1000),
)


def rail(event: str) -> Guardrail:
    return Guardrail(name="rail", endpoint="search", event=event, severity="critical")


def test_errors_are_compared_with_everything_that_the_stable_release_serves() -> None:
    expected = Counts(50, 5, 950, 21, control_requests=50)

    assert counts([SAMPLE], rail("error"), ROLLOUT) == expected
    assert counts([SAMPLE], rail("low_cosine"), ROLLOUT) == expected


def test_latency_is_compared_with_the_control_group_alone() -> None:
    assert counts([SAMPLE], rail("latency > 10ms"), ROLLOUT) == Counts(50, 10, 50, 4, 50)


def test_requests_of_other_releases_count_nowhere() -> None:
    other = Rollout("other", "older")

    assert counts([SAMPLE], rail("error"), other) == Counts(0, 0, 0, 0)


def policy(weight: float) -> Policy:
    return Policy(
        name="test",
        source="this test",
        endpoint="search",
        steps=[Step(weight=weight, hold="1s", min_requests=10)],
        max_hold="1h",
        guardrails=[rail("error")],
    )


def outcome(seen: Counts, weight: float) -> Outcome:
    ramp = policy(weight)
    step, guardrail = ramp.steps[0], ramp.guardrails[0]
    finding = judge_guardrail(CountTest(1.2).after(seen), guardrail, step, 0.01)
    return judge((finding,), ramp, step, 0.0).outcome


def test_the_sample_ratio_is_that_of_canary_and_control_whatever_the_baseline_is() -> None:
    assert outcome(Counts(500, 0, 9500, 0, control_requests=500), 5) is Outcome.PASS
    assert outcome(Counts(500, 0, 9500, 0, control_requests=900), 5) is Outcome.ERROR


def test_above_half_the_control_group_is_what_is_left() -> None:
    assert outcome(Counts(7500, 0, 2500, 0, control_requests=2500), 75) is Outcome.PASS
    assert outcome(Counts(5000, 0, 5000, 0, control_requests=5000), 75) is Outcome.ERROR
