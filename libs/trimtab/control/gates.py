"""Whether what was measured of a release is enough: each gate's figures and their limits, in one table. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from trimtab.contracts.component import Release
from trimtab.contracts.gates import Gate, GateReport

MIN_CASES = 50
"""Below it one question more or less moves a share by over 2 points: the limits would mean nothing."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What one figure must keep to."""

    figure: str
    """Name in the report."""
    most: float | None = None
    """Greatest value that passes."""
    least: float | None = None
    """Least value that passes."""

    def broken_by(self, value: float) -> str:
        """Return how a value breaks it; empty when it does not. NaN breaks every limit."""
        if self.most is not None and not value <= self.most:
            return f"{self.figure} is {value:.6g}, at most {self.most:g} allowed"
        if self.least is not None and not value >= self.least:
            return f"{self.figure} is {value:.6g}, at least {self.least:g} wanted"
        return ""


LIMITS: dict[Gate, tuple[Limit, ...]] = {
    Gate.NORMS: (Limit("norm_error", most=1e-5),),
    # Overlap alone does not do: it stays above 0.95 while R@5 falls by 2.6 points (measured).
    Gate.INDEX: (
        Limit("overlap_at_10", least=0.95),
        Limit("recall_at_5_loss", most=0.01),
        Limit("contain_at_50_loss", most=0.01),
    ),
    Gate.GOLDEN: (Limit("search_loss", most=0.01), Limit("map_loss", most=0.01)),
    # By the thresholds that the measurement was judged with; the controller adds its own environment's.
    Gate.QUALITY: (Limit("failed_checks", most=0),),
}
"""Gate -> limits. ``*_loss`` are shares lost: against every list visited, or against the stable release."""

_EITHER = frozenset({Gate.GOLDEN})
"""Gates whose report holds at least one of its figures, as its cases had it; the others hold all."""


def changes_mapper(release: Release, stable: Release) -> bool:
    """Tell whether a release maps otherwise than the stable one: another component, or another mapper setting."""
    return release.map != stable.map or _mapper_settings(release) != _mapper_settings(stable)


def _mapper_settings(release: Release) -> dict[str, object]:
    return {name: v for name, v in release.settings.items() if name.startswith("mapper.")}


def shortfall(report: GateReport, further: Sequence[Limit] = ()) -> str:
    """Return why a report does not pass its gate; empty when it does.

    ``further`` are limits of one deployment, such as those of its environment, that it must keep as well.
    """
    limits = (*LIMITS[report.gate], *further)
    if report.cases < MIN_CASES:
        return f"{report.cases} cases, at least {MIN_CASES} wanted"
    missing = [limit.figure for limit in limits if limit.figure not in report.figures]
    allowed = len(limits) - 1 if report.gate in _EITHER else 0
    if len(missing) > allowed:
        return f"no {' nor '.join(missing)} in the report"
    found = (
        limit.broken_by(report.figures[limit.figure])
        for limit in limits
        if limit.figure in report.figures
    )
    return "; ".join(broken for broken in found if broken)


def refusal(
    report: GateReport | None,
    gate: Gate,
    release: Release,
    *,
    now: float,
    max_age_s: float,
    further: Sequence[Limit] = (),
) -> str:
    """Return why a release does not pass a gate that is demanded of it; empty when it does."""
    remedy = _remedy(gate, release)
    if report is None:
        return f"nothing was measured of {release.name} ({release.hash}); {remedy}"
    if report.release_hash != release.hash:
        return f"measured of {report.release_hash}, it is {release.hash}; {remedy}"
    age_s = now - report.at
    if age_s > max_age_s:
        return f"measured {age_s / 86_400:.1f} days ago, {max_age_s / 86_400:g} allowed; {remedy}"
    return shortfall(report, further)


def _remedy(gate: Gate, release: Release) -> str:
    if gate is Gate.QUALITY:
        return f"`trimtab mapper quality validate {release.name}` measures it"
    return f"`trimtab release gate {release.name} --cases FILE` measures it"
