"""The rollout judge's test and the rules that people use instead, each on the same simulated runs.

A rule looks at one run and says after how many seconds it takes the canary back; None: it never does.
Argo's and Kayenta's are the documented rules written anew, not the products.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import mannwhitneyu

from services.controller.counttest import RATIOS, Counts, CountTest

Seconds = NDArray[np.int64]
"""One count per second, shape ``(seconds,)``."""

TOLERATED, ALPHA = 1.2, 0.01
"""Of the shipped policies: the ratio of rates that is still acceptable, and false alarms per rollout."""

_SIGNIFICANT, _MANN_WHITNEY_P, _FIRST_MINUTE, _EVERY_MINUTES = 1.645, 0.01, 30, 10


@dataclass(frozen=True, slots=True)
class Run:
    """What was counted in one run."""

    canary: Seconds
    """Requests of the canary."""
    canary_bad: Seconds
    """Of them bad."""
    control: Seconds
    """Of the control group, as large as the canary's share."""
    control_bad: Seconds
    """Of them bad."""
    stable: Seconds
    """All that the stable release served, control group included."""
    stable_bad: Seconds
    """Of them bad."""


Rule = Callable[[Run], float | None]


def ours(run: Run) -> float | None:
    """The product's test against all that the stable release serves, looked at each second."""
    return _count_test(run.canary, run.canary_bad, run.stable, run.stable_bad)


def ours_control_group(run: Run) -> float | None:
    """The same test against the control group alone."""
    return _count_test(run.canary, run.canary_bad, run.control, run.control_bad)


def _count_test(
    canary: Seconds, canary_bad: Seconds, baseline: Seconds, baseline_bad: Seconds
) -> float | None:
    """Return when :class:`CountTest` first rejects, looked at each second.

    Its sums are formed here for all seconds at once, which is twenty times quicker than one object per
    second; the second that is found is then put to the product's own code, and so is the one before it.
    """
    # A second without a bad event, or without requests on either side, leaves the evidence as it is.
    seconds = np.flatnonzero((canary_bad + baseline_bad > 0) & (canary > 0) & (baseline > 0))
    told = [part[seconds] for part in (canary, canary_bad, baseline, baseline_bad)]
    requests, bad, base_requests, base_bad = (part[:, None].astype(np.float64) for part in told)
    null = _shares(np.array([TOLERATED]), requests, base_requests)
    shares = _shares(TOLERATED * np.array(RATIOS), requests, base_requests)
    gained = bad * np.log(shares / null) + base_bad * np.log((1 - shares) / (1 - null))
    evidence = logsumexp(gained.cumsum(axis=0), axis=1) - math.log(len(RATIOS))
    rejecting = np.flatnonzero(evidence >= -math.log(ALPHA))
    if not len(rejecting):
        return None
    first = int(rejecting[0])
    _confirm([tuple(map(int, counts)) for counts in zip(*told, strict=True)], first)
    return float(seconds[first] + 1)


def _shares(
    ratios: NDArray[np.float64], canary: NDArray[np.float64], baseline: NDArray[np.float64]
) -> NDArray[np.float64]:
    return ratios * canary / (ratios * canary + baseline)


def _confirm(intervals: Sequence[tuple[int, ...]], first: int) -> None:
    test = CountTest(TOLERATED)
    for counts in intervals[:first]:
        test = test.after(Counts(*counts))
    if test.rejects(ALPHA) or not test.after(Counts(*intervals[first])).rejects(ALPHA):
        raise AssertionError("the sums here are not those of the product's test")


def runbook(run: Run) -> float | None:
    """Error rate over the baseline's + 0.2 % in the last five minutes, looked at each minute."""
    canary = _rates(*(_last_minutes(_minutes(part), 5) for part in (run.canary_bad, run.canary)))
    control = _rates(*(_last_minutes(_minutes(part), 5) for part in (run.control_bad, run.control)))
    return _first_minute(canary > control + 0.002, after=5)


def runbook_once(run: Run) -> float | None:
    """The same rule with its one look after 30 minutes, on the five before it."""
    canary, control = (
        part[25 * 60 : 30 * 60].sum() / max(1, whole[25 * 60 : 30 * 60].sum())
        for part, whole in ((run.canary_bad, run.canary), (run.control_bad, run.control))
    )
    return 1800.0 if canary > control + 0.002 else None


def fixed(run: Run) -> float | None:
    """Error rate over 1 % in each of four windows of five minutes in all (as Argo's failureLimit 3)."""
    bad, whole = (
        _minutes(part).reshape(-1, 5).sum(axis=1) for part in (run.canary_bad, run.canary)
    )
    failed = np.flatnonzero(_rates(bad, whole) > 0.01)
    return float(failed[3] + 1) * 300.0 if len(failed) > 3 else None


def z_test(run: Run) -> float | None:
    """Two-proportion z test, p < 0.05, on all data so far, looked at each minute."""
    x, n, y, m = (
        _minutes(part).cumsum()
        for part in (run.canary_bad, run.canary, run.control_bad, run.control)
    )
    pooled = _rates(x + y, n + m)
    spread = np.sqrt(pooled * (1 - pooled) * (1 / np.maximum(n, 1) + 1 / np.maximum(m, 1)))
    apart = _rates(x, n) - _rates(y, m)
    return _first_minute(apart > _SIGNIFICANT * np.where(spread > 0, spread, np.inf), after=1)


def mann_whitney(run: Run) -> float | None:
    """Mann-Whitney U on error rates per minute, p < 0.01, each ten minutes from the 30th (as Kayenta's)."""
    canary = _rates(_minutes(run.canary_bad), _minutes(run.canary))
    control = _rates(_minutes(run.control_bad), _minutes(run.control))
    for minute in range(_FIRST_MINUTE, len(canary) + 1, _EVERY_MINUTES):
        worse = mannwhitneyu(
            canary[:minute], control[:minute], alternative="greater", method="asymptotic"
        )
        if worse.pvalue < _MANN_WHITNEY_P:
            return minute * 60.0
    return None


RULES: dict[str, Rule] = {
    "ours: count test, all of stable": ours,
    "ours: count test, control group alone": ours_control_group,
    "runbook 5: baseline + 0.2 %, one look": runbook_once,
    "runbook 5: the same, each minute": runbook,
    "fixed: > 1 % in four windows": fixed,
    "z test p < .05, each minute": z_test,
    "Mann-Whitney p < .01, each ten minutes": mann_whitney,
}
"""The first is what the controller does."""


def _minutes(seconds: Seconds) -> Seconds:
    minutes: Seconds = seconds.reshape(-1, 60).sum(axis=1)
    return minutes


def _last_minutes(minutes: Seconds, count: int) -> Seconds:
    whole = np.concatenate(([0], minutes.cumsum()))
    last: Seconds = whole[count:] - whole[:-count]
    return last


def _rates(bad: Seconds, whole: Seconds) -> NDArray[np.float64]:
    return bad / np.maximum(whole, 1)


def _first_minute(taken_back: NDArray[np.bool_], *, after: int) -> float | None:
    found = np.flatnonzero(taken_back)
    return float(found[0] + after) * 60.0 if len(found) else None
