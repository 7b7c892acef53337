"""What was learnt of one step of one rollout: samples in, evidence and a verdict out. Pure.

The one path from samples to a verdict: the controller's loop and the replay of recorded samples
(``trimtab analyze --replay``) both go it, so a dry run of a policy means what the live run would.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from services.controller.analysis import Verdict, judge, judge_guardrail, judge_recall
from services.controller.counttest import NOTHING, CountTest
from services.controller.policy import Policy
from services.controller.windows import Rollout, counts
from trimtab.contracts.evaluation import Evaluation
from trimtab.contracts.samples import Sample


@dataclass(frozen=True, slots=True)
class Evidence:
    """Evidence on every guardrail of a policy, of one step."""

    tests: tuple[CountTest, ...]
    """One per guardrail, in the policy's order."""

    @classmethod
    def none(cls, policy: Policy) -> "Evidence":
        """Return what is known before the first sample."""
        return cls(tuple(CountTest(rail.tolerated_ratio) for rail in policy.guardrails))

    def after(
        self, samples: Sequence[Sample], policy: Policy, rollout: Rollout, *, since: float
    ) -> "Evidence":
        """Return the evidence after more samples; those that began before ``since`` are left out.

        ``since`` is unix seconds of when the fleet had converged on the step.
        """
        fresh = [sample for sample in samples if sample.at - sample.interval_s >= since]
        tests = []
        for test, guardrail in zip(self.tests, policy.guardrails, strict=True):
            seen = counts(fresh, guardrail, rollout)
            tests.append(test if seen == NOTHING else test.after(seen))
        return replace(self, tests=tuple(tests))

    def verdict(
        self, policy: Policy, step: int, *, silent_s: float, evaluation: Evaluation | None = None
    ) -> Verdict:
        """Return what the evidence says on step ``step`` (from 0) of the policy.

        ``silent_s`` is how long ago the last sample of any worker came; ``evaluation`` the newest of
        the canary.
        """
        on = policy.steps[step]
        findings = (
            judge_guardrail(test, guardrail, on, policy.alpha_each)
            if guardrail.max_drop is None
            else judge_recall(guardrail, on, evaluation)
            for test, guardrail in zip(self.tests, policy.guardrails, strict=True)
        )
        return judge(tuple(findings), policy, on, silent_s)


def roles_of(samples: Iterable[Sample]) -> Rollout | None:
    """Return which releases the samples compare, the last named of each role; None when they do not."""
    canary = stable = ""
    for sample in samples:
        for part in sample.endpoints:
            if part.role == "canary":
                canary = part.release
            elif part.role == "control":
                stable = part.release
    return Rollout(canary, stable) if canary and stable else None
