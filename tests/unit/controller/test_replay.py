"""A record judged again says what the live loop would have said, look by look."""

from pathlib import Path
from typing import cast

import msgspec
import pytest
from nats.js.kv import KeyValue

from services.controller.analysis import Outcome
from services.controller.analyze import Replayed, analyze, lines, main, shape
from services.controller.policy import Guardrail, Policy, Step
from services.controller.reconciler import Reconciler
from services.controller.replay import compared, only_policy, replay
from services.controller.rollout import Event
from services.controller.windows import Rollout
from tests.unit.control.documents import canary, controls, state
from tests.unit.controller import records
from trimtab.contracts.control import Convergence, Phase
from trimtab.contracts.errors import InvalidCommand, InvalidMessage
from trimtab.contracts.evaluation import Evaluation
from trimtab.contracts.samples import Sample
from trimtab.control.feed import ControlFeed
from trimtab.control.lease import Lease
from trimtab.control.store import ControlStore
from trimtab.telemetry import logs
from trimtab.telemetry.recording import Heard, line_of, read_record, read_samples

POLICY = Policy(
    name="quick",
    source="this test",
    endpoint="pipeline_search",
    steps=[
        Step(weight=5, hold="20s", min_requests=100),
        Step(weight=50, hold="20s", min_requests=100),
    ],
    max_hold="60s",
    guardrails=[
        Guardrail(name="errors", endpoint="pipeline_search", event="error", severity="critical")
    ],
)
COMPARED = Rollout("next", "base")
HEALTHY = list(records.rollout(120, canary_error=0.01))
FAILING = list(records.rollout(120, canary_error=0.12))


def written(path: Path, samples: list[Sample]) -> Path:
    path.write_bytes(b"".join(line_of(sample) for sample in samples))
    return path


async def no_notice(*_: object) -> None:
    raise AssertionError("who does not lead moves nothing")


def nobody_asks() -> Convergence:
    raise AssertionError("the step has begun")


async def live_verdicts(folder: Path, samples: list[Sample]) -> list[tuple[Outcome, str]]:
    """Return what a controller that does not lead says of the first step, at each look."""
    ramp = msgspec.structs.replace(
        canary("next", 500), policy="quick", step_since=samples[0].at - samples[0].interval_s
    )
    log = logs.get("controller", "c-1")
    feed = ControlFeed("controller", "c-1", log, folder / "cache")
    await feed.apply(controls(state("base", "next", canary=ramp)))
    bucket = cast("KeyValue", None)  # never asked: it neither leads nor writes
    lease, store = Lease(bucket, "c-1"), ControlStore.__new__(ControlStore)
    follower = Reconciler(store, feed, lease, {"quick": POLICY}, nobody_asks, log, no_notice)
    said = []
    for sample in samples:
        follower.hear(sample)
        await follower.look([sample], sample.at)
        assert follower.verdict is not None
        said.append((follower.verdict.outcome, follower.verdict.reason))
    return said


@pytest.mark.parametrize("samples", [HEALTHY, FAILING], ids=["healthy", "failing"])
async def test_a_replay_says_at_every_look_what_the_live_loop_says(
    tmp_path: Path, samples: list[Sample]
) -> None:
    looks = list(replay(samples, POLICY, COMPARED))
    first_step = [(look.verdict.outcome, look.verdict.reason) for look in looks if look.step == 1]

    live = await live_verdicts(tmp_path, samples[: len(first_step)])

    assert len(first_step) > 3
    assert first_step == live


def test_a_failing_canary_is_taken_back_and_what_follows_is_not_looked_at() -> None:
    looks = list(replay(FAILING, POLICY, COMPARED))

    assert looks[-1].event is Event.CRITICAL_FAILED
    assert looks[-1].phase is Phase.ROLLED_BACK
    assert len(looks) < len(FAILING)


def test_a_healthy_canary_climbs_every_step_on_evidence_of_its_own() -> None:
    looks = list(replay(HEALTHY, POLICY, COMPARED))
    second = next(look for look in looks if look.step == 2)

    assert looks[-1].event is Event.LAST_STEP_PASSED
    assert second.verdict.findings[0].counts.canary_requests <= 2 * 10


def test_an_evaluation_of_the_record_lets_a_step_pass_that_waits_for_one(tmp_path: Path) -> None:
    drop = Guardrail(
        name="quality", endpoint="evaluation", event="recall_at_5_drop > 2%", severity="critical"
    )
    waits = msgspec.structs.replace(
        POLICY,
        steps=[msgspec.structs.replace(POLICY.steps[0], evaluated=True)],
        guardrails=[*POLICY.guardrails, drop],
    )
    heard = Evaluation(
        at=HEALTHY[30].at,
        release="next",
        collection="stdlib",
        queries=100,
        recall_at_5=0.8,
        before=0.8,
    )
    record: list[Heard] = [*HEALTHY[:31], heard, *HEALTHY[31:]]
    path = tmp_path / "record.jsonl"
    path.write_bytes(b"".join(line_of(each) for each in record))

    unmeasured = list(replay(HEALTHY, waits, COMPARED))
    measured = list(replay(read_record(path), waits, COMPARED))

    assert list(read_samples(path)) == HEALTHY
    assert all(look.event is not Event.LAST_STEP_PASSED for look in unmeasured)
    assert measured[-1].event is Event.LAST_STEP_PASSED
    assert measured[-1].at > heard.at


def test_a_gap_in_the_record_is_silence_and_never_a_pass() -> None:
    gap = [*HEALTHY[:8], *records.rollout(1, canary_error=0.0)]
    gap[-1] = msgspec.structs.replace(gap[-1], at=records.BEGAN + 60)

    looks = list(replay(gap, POLICY, COMPARED))

    silent = [look for look in looks if 45 < look.at - records.BEGAN < 60]
    assert silent
    assert {look.verdict.outcome for look in silent} == {Outcome.ERROR}
    assert all(look.event is not Event.STEP_PASSED for look in looks)


def test_a_record_without_a_canary_compares_nothing() -> None:
    alone = [
        msgspec.structs.replace(sample, endpoints=sample.endpoints[1:]) for sample in HEALTHY[:3]
    ]

    with pytest.raises(InvalidCommand, match="no canary"):
        compared(alone)
    assert compared(HEALTHY) == COMPARED


def test_the_policy_is_the_one_whose_requests_the_canary_got() -> None:
    other = msgspec.structs.replace(POLICY, name="other", endpoint="pipeline_map")
    twin = msgspec.structs.replace(POLICY, name="twin")

    assert only_policy({"quick": POLICY, "other": other}, HEALTHY[:2]) is POLICY
    with pytest.raises(InvalidCommand, match="quick, twin"):
        only_policy({"quick": POLICY, "twin": twin}, HEALTHY[:2])
    with pytest.raises(InvalidCommand, match="--policy: other"):
        only_policy({"other": other}, HEALTHY[:2])


def test_a_line_that_is_no_sample_is_named_and_a_last_line_that_was_cut_is_left_out(
    tmp_path: Path,
) -> None:
    whole, bad = tmp_path / "whole", tmp_path / "bad"
    cut = line_of(HEALTHY[1])[:-20]
    whole.write_bytes(line_of(HEALTHY[0]) + cut)
    bad.write_bytes(line_of(HEALTHY[0]) + cut + b"\n")

    assert list(read_record(whole)) == HEALTHY[:1]
    with pytest.raises(InvalidMessage, match="line 2 of bad"):
        list(read_record(bad))


def policy_file(folder: Path) -> Path:
    path = folder / "quick.yaml"
    path.write_bytes(msgspec.yaml.encode(POLICY))
    return path


@pytest.mark.parametrize(
    ("samples", "code", "verdict"),
    [(HEALTHY, 0, "pass"), (FAILING, 1, "fail"), (HEALTHY[:5], 4, "inconclusive")],
    ids=["pass", "fail", "inconclusive"],
)
def test_the_exit_code_is_the_final_verdict(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    samples: list[Sample],
    code: int,
    verdict: str,
) -> None:
    record = written(tmp_path / "record", samples)

    found = main([str(record), "--policy", str(policy_file(tmp_path)), "--json"])
    printed = msgspec.json.decode(capsys.readouterr().out)

    assert found == code
    assert printed["verdict"] == verdict
    assert printed["canary"] == "next"
    assert len(printed["looks"]) > 1
    assert printed["looks"][-1]["verdict"] == verdict
    assert set(printed["looks"][-1]["evidence"]) == {"errors"}


def test_an_unknown_policy_is_refused_with_the_known_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = written(tmp_path / "record", HEALTHY[:3])

    assert main([str(record), "--policy", "nosuch", "--json"]) == 1
    told = msgspec.json.decode(capsys.readouterr().out)["error"]
    assert "retriever-v0" in told["problem"] + told["remedy"]


def test_people_read_one_line_for_looks_that_say_the_same(tmp_path: Path) -> None:
    record = written(tmp_path / "record", HEALTHY)
    found: Replayed = analyze(record, tmp_path, str(policy_file(tmp_path)))

    told = list(lines(found))

    assert len(told) < 8 < len(shape(found)["looks"])
    assert told[-1].startswith("promoted; final verdict pass")
