"""Is the canary worse? An anytime-valid test on counts of bad events, so it may be looked at each second.

Given that a bad event happened, it belongs to the canary with probability
``pi(r) = r*nC / (r*nC + nB)`` when the canary's rate is ``r`` times the baseline's and ``nC``, ``nB``
requests were served. The likelihood ratio of ``r`` against the tolerated ratio ``r0`` is a
martingale under ``r0`` (smaller ratios make it a supermartingale), and so is its mixture over a grid
of ratios; by Ville's inequality it ever reaches ``1/alpha`` with probability at most ``alpha``. After
"Anytime-Valid Inference for Multinomial Count Data" (Lindon and Malek, NeurIPS 2022). Pure Python,
constant state, valid while the weight changes because each interval brings its own ``pi``.
"""

import math
from dataclasses import dataclass

RATIOS = tuple(1.25 * 1.12**k for k in range(40))
"""Alternatives, in multiples of the tolerated ratio: 1.25 to about 104."""


@dataclass(frozen=True, slots=True)
class Counts:
    """One interval of one guardrail."""

    canary_requests: int
    canary_bad: int
    baseline_requests: int
    """Of the stable release, at the same time."""
    baseline_bad: int
    control_requests: int = 0
    """Of the concurrent control group alone, as many as the canary's: for the sample ratio."""

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.canary_requests + other.canary_requests,
            self.canary_bad + other.canary_bad,
            self.baseline_requests + other.baseline_requests,
            self.baseline_bad + other.baseline_bad,
            self.control_requests + other.control_requests,
        )


NOTHING = Counts(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class CountTest:
    """Evidence so far that the canary's rate is more than ``tolerated`` times the baseline's."""

    tolerated: float
    """Ratio of rates that is still acceptable, >= 1."""
    log_ratios: tuple[float, ...] = (0.0,) * len(RATIOS)
    """Log likelihood ratio of each alternative."""
    total: Counts = NOTHING
    """All intervals together, for people."""

    def after(self, counts: Counts) -> "CountTest":
        """Return the test after one more interval.

        An interval without requests on either side says nothing of the ratio and leaves it as it is.
        """
        total = self.total + counts
        if not counts.canary_requests or not counts.baseline_requests:
            return CountTest(self.tolerated, self.log_ratios, total)
        if not counts.canary_bad and not counts.baseline_bad:
            return CountTest(self.tolerated, self.log_ratios, total)
        null = _share(self.tolerated, counts)
        log_ratios = tuple(
            known + _log_likelihood_ratio(_share(self.tolerated * ratio, counts), null, counts)
            for known, ratio in zip(self.log_ratios, RATIOS, strict=True)
        )
        return CountTest(self.tolerated, log_ratios, total)

    @property
    def evidence(self) -> float:
        """The e-value: at least ``1/alpha`` rejects at level ``alpha``, whenever it is looked at."""
        return math.exp(self.log_evidence)

    @property
    def log_evidence(self) -> float:
        """Natural logarithm of the e-value."""
        top = max(self.log_ratios)
        return top + math.log(sum(math.exp(r - top) for r in self.log_ratios) / len(RATIOS))

    def rejects(self, alpha: float) -> bool:
        """Whether the canary is worse than tolerated, with at most ``alpha`` false alarms ever."""
        return self.log_evidence >= -math.log(alpha)


def _share(ratio: float, counts: Counts) -> float:
    weighted = ratio * counts.canary_requests
    return weighted / (weighted + counts.baseline_requests)


def _log_likelihood_ratio(share: float, null: float, counts: Counts) -> float:
    in_canary = counts.canary_bad * math.log(share / null)
    return in_canary + counts.baseline_bad * math.log((1 - share) / (1 - null))


def upper_rate(bad: int, requests: int, confidence: float = 0.95) -> float:
    """Return the Wilson upper bound of a rate at one-sided ``confidence``; 1 without requests."""
    if not requests:
        return 1.0
    z = _QUANTILES[confidence]
    rate = bad / requests
    centre = rate + z * z / (2 * requests)
    spread = z * math.sqrt(rate * (1 - rate) / requests + z * z / (4 * requests * requests))
    return min(1.0, (centre + spread) / (1 + z * z / requests))


_QUANTILES = {0.90: 1.2816, 0.95: 1.6449, 0.99: 2.3263}
"""One-sided standard normal quantiles."""


def ratio_mismatch(canary: int, baseline: int, expected_share: float) -> float:
    """Return the z score of the canary's share of requests against its weight.

    Above 4 the assignment is not what it should be (sample-ratio mismatch), and nothing that is
    compared can be believed.
    """
    total = canary + baseline
    if not total or not 0 < expected_share < 1:
        return 0.0
    sigma = math.sqrt(total * expected_share * (1 - expected_share))
    return abs(canary - total * expected_share) / sigma
