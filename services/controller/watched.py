"""What is known of the rollout in progress: one step's evidence, the answers tried, the last verdict. Pure.

The live loop and the replay of recorded samples both look through :meth:`Watched.after`, so a dry run
of a policy means what the live run would.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.controller.analysis import Verdict
from services.controller.evidence import Evidence
from services.controller.policy import Policy
from services.controller.windows import Rollout
from trimtab.contracts.control import Canary
from trimtab.contracts.evaluation import Evaluation
from trimtab.contracts.samples import Sample

LOOK_S = 1.0
"""The test is valid at every look, so it looks with every sample."""


NO_EVIDENCE = Evidence(())
"""Of no policy: nothing is watched yet."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What was learnt of one rollout; its evidence begins anew with each step."""

    step: tuple[str, int, float] = ("", -1, 0.0)
    """Release, step and when the fleet had converged on it."""
    evidence: Evidence = NO_EVIDENCE
    """On this step."""
    answered: int = 0
    """Answers tried in this rollout."""
    verdict: Verdict | None = None
    """Of the last look at this step."""

    def after(
        self,
        samples: Sequence[Sample],
        canary: Canary,
        stable: str,
        policy: Policy,
        *,
        silent_s: float,
        evaluation: Evaluation | None = None,
    ) -> tuple["Watched", Verdict]:
        """Return what is known after one more look, and its verdict.

        ``samples`` came since the last look; ``silent_s`` is how long ago the last one of any worker came;
        ``evaluation`` is the newest of the canary.
        """
        watched = self if self.step == step_of(canary) else self._on(canary, policy)
        rollout = Rollout(canary.release, stable)
        evidence = watched.evidence.after(samples, policy, rollout, since=canary.step_since)
        verdict = evidence.verdict(policy, canary.step, silent_s=silent_s, evaluation=evaluation)
        return replace(watched, evidence=evidence, verdict=verdict), verdict

    def with_answer(self) -> "Watched":
        """Return the same after one more answer was tried."""
        return replace(self, answered=self.answered + 1)

    def of(self, canary: Canary) -> Verdict | None:
        """Return the verdict of the last look at the step that the canary is on; None before it."""
        return self.verdict if self.step == step_of(canary) else None

    def _on(self, canary: Canary, policy: Policy) -> "Watched":
        same = self.step[0] == canary.release
        return Watched(step_of(canary), Evidence.none(policy), self.answered if same else 0)


def step_of(canary: Canary) -> tuple[str, int, float]:
    """Return what tells one step of one rollout from every other."""
    return canary.release, canary.step, canary.step_since
