"""Counts and policy into a verdict, with the reason made where the decision is made. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from services.controller.counttest import NOTHING, Counts, CountTest, ratio_mismatch, upper_rate
from services.controller.policy import Guardrail, Policy, Step
from trimtab.contracts.evaluation import Evaluation


class Outcome(StrEnum):
    """What a look at a canary says."""

    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one guardrail says."""

    guardrail: Guardrail
    outcome: Outcome
    reason: str
    evidence: float
    """The e-value: 1 says nothing, 1/alpha rejects."""
    counts: Counts


@dataclass(frozen=True, slots=True)
class Verdict:
    """What all of them say together."""

    outcome: Outcome
    reason: str
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> tuple[Finding, ...]:
        """The guardrails that fail, critical ones first."""
        failing = [f for f in self.findings if f.outcome is Outcome.FAIL]
        return tuple(sorted(failing, key=lambda f: f.guardrail.severity != "critical"))


MISMATCH_Z = 4.0
"""z score above which the sample ratio is wrong: 1 in 16,000 looks by chance."""


def judge_guardrail(test: CountTest, guardrail: Guardrail, step: Step, alpha: float) -> Finding:
    """Return what the evidence on one guardrail says."""
    seen = test.total
    rates = (
        f"{guardrail.name}: canary {_rate(seen.canary_bad, seen.canary_requests)}, "
        f"stable {_rate(seen.baseline_bad, seen.baseline_requests)}"
    )
    evidence = min(test.evidence, 1e300) if test.log_evidence < 690 else 1e300
    if test.rejects(alpha):
        reason = f"{rates}, worse than {guardrail.tolerated_ratio:g}x (e-value {evidence:.3g})"
        return Finding(guardrail, Outcome.FAIL, reason, evidence, seen)
    if seen.canary_requests < step.min_requests:
        reason = f"{rates}, {seen.canary_requests} of {step.min_requests} requests"
        return Finding(guardrail, Outcome.INCONCLUSIVE, reason, evidence, seen)
    bound = upper_rate(seen.canary_bad, seen.canary_requests)
    if guardrail.max_rate is not None and bound > guardrail.max_rate:
        reason = f"{rates}, upper bound {bound:.2%} not under {guardrail.max_rate:.2%}"
        return Finding(guardrail, Outcome.INCONCLUSIVE, reason, evidence, seen)
    return Finding(guardrail, Outcome.PASS, rates, evidence, seen)


def judge_recall(guardrail: Guardrail, step: Step, evaluation: Evaluation | None) -> Finding:
    """Return what the newest evaluation of the canary says: one figure, and no test that could be repeated."""
    if evaluation is None:
        outcome = Outcome.INCONCLUSIVE if step.evaluated else Outcome.PASS
        return Finding(guardrail, outcome, f"{guardrail.name}: not evaluated", 1.0, NOTHING)
    drop = evaluation.before - evaluation.recall_at_5
    failed = guardrail.max_drop is not None and drop > guardrail.max_drop
    reason = (
        f"{guardrail.name}: R@5 {evaluation.recall_at_5:.2%} of {evaluation.queries} queries, "
        f"{evaluation.before:.2%} before"
    )
    return Finding(guardrail, Outcome.FAIL if failed else Outcome.PASS, reason, 1.0, NOTHING)


def judge(findings: tuple[Finding, ...], policy: Policy, step: Step, silent_s: float) -> Verdict:
    """Return the verdict of a look: the worst of its guardrails, and never PASS without data.

    ``silent_s`` is how long ago the last sample of any worker came: a metrics path that is down
    proves nothing of the canary, so it is ERROR, not FAIL.
    """
    if silent_s > 10.0:
        return Verdict(Outcome.ERROR, f"no samples for {silent_s:.0f} s", findings)
    acting = [f for f in findings if f.guardrail.severity != "info"]
    failed = [f for f in acting if f.outcome is Outcome.FAIL]
    if failed:
        return Verdict(Outcome.FAIL, "; ".join(f.reason for f in failed), findings)
    seen = next((f.counts for f in findings if f.guardrail.endpoint == policy.endpoint), None)
    if seen is not None:
        z = ratio_mismatch(seen.canary_requests, seen.control_requests, _expected_share(step))
        if z > MISMATCH_Z and seen.control_requests:
            reason = (
                f"sample ratio: {seen.canary_requests} canary to {seen.control_requests} control "
                f"requests, z = {z:.1f}; the assignment is not what it should be"
            )
            return Verdict(Outcome.ERROR, reason, findings)
    waiting = [f for f in acting if f.outcome is Outcome.INCONCLUSIVE]
    if waiting:
        return Verdict(Outcome.INCONCLUSIVE, "; ".join(f.reason for f in waiting), findings)
    return Verdict(Outcome.PASS, "; ".join(f.reason for f in acting), findings)


def _expected_share(step: Step) -> float:
    """Return the canary's share of canary and control: half, until less than its weight is left."""
    return step.weight / (step.weight + min(step.weight, 100.0 - step.weight))


def _rate(bad: int, requests: int) -> str:
    return f"{bad}/{requests} = {bad / requests:.2%}" if requests else "no requests"
