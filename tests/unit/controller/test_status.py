"""What the controller answers to status: roles and shares, the ramp and why, who obeys and who does not."""

import msgspec

from services.controller.analysis import Finding, Outcome, Verdict
from services.controller.convergence import Acknowledgements
from services.controller.counttest import NOTHING
from services.controller.policy import Guardrail, Policy, Step
from services.controller.status import Scene, status
from tests.unit.control.documents import canary, controls, kill, state
from trimtab.contracts.control import Applied, ApplyStatus, Freeze, Phase, Setting, Switch
from trimtab.contracts.samples import Readiness, WorkerStatus
from trimtab.control.effective import Controls

RAIL = Guardrail(name="errors", endpoint="map", event="error", severity="critical")
POLICY = Policy(
    name="quick",
    source="this test",
    endpoint="map",
    steps=[Step(weight=5, hold="30m"), Step(weight=50, hold="1h")],
    max_hold="2h",
    alpha=0.01,
    guardrails=[RAIL],
)
FAILED = Verdict(Outcome.FAIL, "too many", (Finding(RAIL, Outcome.FAIL, "bad", 450.0, NOTHING),))


def worker(instance: str, revision: int, *, silent: bool = False) -> WorkerStatus:
    return WorkerStatus(
        service="mapper",
        instance=instance,
        version="0.1.0",
        readiness=Readiness.READY,
        reason="",
        components={},
        revision=revision,
        age_s=9.0 if silent else 0.5,
        silent=silent,
        uptime_s=60.0,
        rss_bytes=1,
        requests=0,
        errors=0,
        p95_ms=None,
        facts={},
    )


def scene(found: Controls, *workers: WorkerStatus, words: Acknowledgements | None = None) -> Scene:
    return Scene(
        controls=found,
        workers=workers,
        words=words or Acknowledgements(),
        policy=POLICY,
        verdict=FAILED,
        leader="c-0",
        now=1600.0,
    )


def ramping(phase: Phase = Phase.RUNNING) -> Controls:
    ramp = msgspec.structs.replace(
        canary("next", 2500, phase), policy="quick", step=1, step_since=1000.0, cause="try it"
    )
    made = msgspec.structs.replace(
        state("base", "next", "old", canary=ramp), previous="old", at=1000.0
    )
    return controls(made, revision=7)


def test_releases_stand_with_their_roles_and_shares() -> None:
    found = status(scene(ramping()))

    assert [(r.name, r.role, r.weight_bp) for r in found.releases] == [
        ("base", "stable", 7500),
        ("next", "canary", 2500),
        ("old", "previous", 0),
    ]
    assert found.releases[1].components["rerank"] == "mlp-next@1"


def test_the_ramp_names_its_step_counted_from_one_its_clock_and_its_evidence() -> None:
    ramp = status(scene(ramping())).rollout

    assert ramp is not None
    assert (ramp.step, ramp.steps, ramp.on_step_s, ramp.hold_s) == (2, 2, 600.0, 3600.0)
    assert (ramp.verdict, ramp.reason, ramp.cause) == ("fail", "too many", "try it")
    assert [(g.name, g.outcome, g.evidence, g.rejects_at) for g in ramp.guardrails] == [
        ("errors", "fail", 450.0, 400.0)
    ]


def test_an_ended_ramp_serves_nothing_and_its_clock_stands() -> None:
    found = status(scene(ramping(Phase.ROLLED_BACK)))

    assert [release.role for release in found.releases] == ["stable", "previous"]
    assert found.releases[0].weight_bp == 10_000
    assert found.rollout is not None
    assert (found.rollout.phase, found.rollout.on_step_s) == (Phase.ROLLED_BACK, 0.0)


def test_each_worker_is_told_apart_converged_lagging_rejected_silent() -> None:
    words = Acknowledgements()
    words.add(
        Applied(
            service="mapper",
            instance="m-3",
            revision=7,
            status=ApplyStatus.REJECTED,
            reason="no ghost@9",
            apply_ms=1.0,
            effective_hash="",
            at=1500.0,
        )
    )
    stale = msgspec.structs.replace(worker("m-5", 6), stale=True)
    workers = (
        worker("m-1", 7),
        worker("m-2", 6),
        worker("m-3", 6),
        worker("m-4", 7, silent=True),
        stale,
    )

    found = status(scene(ramping(), *workers, words=words))

    assert [(w.instance, w.obedience, w.obeys_why) for w in found.workers] == [
        ("m-1", "converged", ""),
        ("m-2", "lagging", "obeys revision 6"),
        ("m-3", "rejected", "rejected: no ghost@9"),
        ("m-4", "silent", "silent for 9 s"),
        ("m-5", "stale", "hears no controller"),
    ]
    assert found.convergence is not None
    assert (found.convergence.status, found.convergence.applied) == ("rejected", 1)


def test_when_a_worker_first_obeyed_is_told_whatever_it_says_later() -> None:
    words = Acknowledgements()
    for instance, what, at in (
        ("m-1", ApplyStatus.APPLIED, 1500.0),
        ("m-1", ApplyStatus.APPLIED, 1530.0),
        ("m-1", ApplyStatus.STALE, 1545.0),
        ("m-2", ApplyStatus.REJECTED, 1500.0),
    ):
        words.add(
            Applied(
                service="mapper",
                instance=instance,
                revision=7,
                status=what,
                reason="",
                apply_ms=1.0,
                effective_hash="",
                at=at,
            )
        )
    workers = (worker("m-1", 7), worker("m-2", 6), worker("m-3", 7))

    found = status(scene(ramping(), *workers, words=words))

    assert [(w.acknowledged, w.acknowledged_at) for w in found.workers] == [
        (7, 1500.0),
        (0, 0.0),
        (0, 0.0),
    ], "one that refused, and one that was not heard, obeyed at no time that we know"


def test_kills_in_force_and_a_freeze_are_in_sight() -> None:
    frozen = msgspec.structs.replace(
        state("base"), freeze=Freeze(actor="ana", reason="holidays", at=1.0)
    )
    gone = kill(Switch.PIPELINE, "closed", until=1500.0)
    there = kill(Switch.RERANKER, "off", tenant="acme", until=1660.0)

    found = status(scene(controls(frozen, gone, there)))

    assert found.frozen == "ana: holidays"
    assert found.switches == ["reranker=off for acme, 60 s left, by test"]
    assert found.rollout is None


def test_settings_in_force_are_in_sight_with_their_end_and_ended_ones_are_not() -> None:
    def until(value: float, ends: float | None, reason: str = "") -> Setting:
        return Setting(value=value, actor="ana", reason=reason, expires_at=ends)

    tuned = msgspec.structs.replace(
        state("base"),
        settings={
            "mapper.confidence_threshold.llama-guard": until(0.4, 1660.0, "too many fall back"),
            "retriever.nprobe": until(4, 1500.0),
        },
        tenant_settings={"acme": {"gateway.pool": until(20, None)}},
    )

    assert status(scene(controls(tuned))).settings == [
        "mapper.confidence_threshold.llama-guard=0.4, 60 s left, by ana: too many fall back",
        "gateway.pool=20 for acme, until changed, by ana",
    ]
