"""A mapper's quality as one report: figures per detector, the checks that they must pass, one verdict. Pure.

Each check is of the detector that does worst, so that a good one cannot hide a bad one. No output of a case stands
in it, only ids.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from services.mapper.quality.cases import PARTS
from services.mapper.quality.coverage import Coverage
from services.mapper.quality.scoring import Figures, Scored, confusions, figures
from trimtab.contracts.mapping import FallbackReason
from trimtab.control.gates import Limit
from trimtab.evaluation.gates import Gate, all_hold, at_least, at_most

_WORST_CONFUSIONS = 5


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of one mapper."""

    scored: tuple[Scored, ...]
    """Every case that was asked."""
    coverage: Coverage
    """Of the whole set of cases."""
    versions: Mapping[str, Sequence[str]]
    """What answered: part -> versions seen."""
    by_order: bool
    """Whether the rules alone were asked on purpose."""

    def of(self, detector: str, part: str = "") -> list[Scored]:
        """Return one detector's cases, of one part or of both."""
        return [
            each
            for each in self.scored
            if each.case.detector == detector and part in ("", each.case.part)
        ]

    @property
    def detectors(self) -> list[str]:
        """Names of those that were asked, in order."""
        return list(dict.fromkeys(each.case.detector for each in self.scored))

    @property
    def tables(self) -> dict[str, dict[str, Figures]]:
        """Detector -> ``all`` and each part that has cases -> figures."""
        return {
            name: {
                "all": figures(self.of(name)),
                **{part: figures(some) for part in PARTS if (some := self.of(name, part))},
            }
            for name in self.detectors
        }


def worst(measured: Measured) -> dict[str, float]:
    """Return the figures that limits are set on, each of the detector that does worst."""
    tables = measured.tables
    whole = [table["all"] for table in tables.values()]
    held = [table["held_out"].f1 for table in tables.values() if "held_out" in table]
    return {
        "schema_valid": min(each.valid for each in whole),
        "f1": min(each.f1 for each in whole),
        "f1_held_out": min(held, default=math.nan),
        "p95_ms": max(each.p95_ms for each in whole),
        "fallback": max(each.fallback for each in whole),
        "golden_cases": float(measured.coverage.fewest),
        "taxonomy_coverage": measured.coverage.share,
    }


def checks(measured: Measured, limits: Sequence[Limit]) -> list[Gate]:
    """Return every check: the limits, that one version answered, and that no switch kept the model away."""
    values = worst(measured)
    found = [
        at_most(limit.figure, values[limit.figure], limit.most)
        if limit.most is not None
        else at_least(limit.figure, values[limit.figure], limit.least or 0.0)
        for limit in limits
    ]
    versions = max((len(seen) for seen in measured.versions.values()), default=1)
    found.append(at_most("versions of one part that answered", versions, 1))
    if not measured.by_order:
        switched = sum(each.answer.reason is FallbackReason.KILL_SWITCH for each in measured.scored)
        found.append(at_most("answers under the kill-switch", switched, 0))
    return found


def shape(measured: Measured, judged: Sequence[Gate]) -> dict[str, Any]:
    """Return the report for scripts."""
    return {
        "ok": all_hold(judged),
        "verdict": "PASS" if all_hold(judged) else "FAIL",
        "checks": [check.shape() for check in judged],
        "cases": len(measured.scored),
        "versions": {part: list(seen) for part, seen in measured.versions.items()},
        "detectors": {
            name: {
                **{part: _figures(found) for part, found in table.items()},
                "confusions": [
                    {"expected": wanted, "found": got, "cases": count}
                    for wanted, got, count in confusions(measured.of(name))
                ],
            }
            for name, table in measured.tables.items()
        },
        "failing": [_failing(each) for each in measured.scored if not each.passed],
        "coverage": covered(measured.coverage),
    }


def covered(coverage: Coverage) -> dict[str, Any]:
    """Return the coverage for scripts."""
    return {
        "cases": coverage.cases,
        "share": coverage.share,
        "missing_categories": list(coverage.missing),
        "labels_without_a_case": list(coverage.labels),
    }


def lines(measured: Measured, judged: Sequence[Gate]) -> list[str]:
    """Return the report for people."""
    head = (
        f"{'detector':<22}{'part':<10}{'n':>4}{'F1':>7}{'pass':>8}  {'95 % interval':<15}"
        f"{'valid':>7}{'fallback':>10}{'p95 ms':>8}  unknown: precision, recall"
    )
    told = [head]
    for name, table in measured.tables.items():
        told += [_line(name, part, found) for part, found in table.items()]
    for name in measured.detectors:
        for wanted, got, count in confusions(measured.of(name))[:_WORST_CONFUSIONS]:
            told.append(f"{name}: {count} x {got} instead of {wanted}")
    verdict = "PASS" if all_hold(judged) else "FAIL"
    return [*told, *(check.line() for check in judged), verdict]


def _line(name: str, part: str, found: Figures) -> str:
    passed = found.passed
    shares = (found.unknown_precision, found.unknown_recall)
    unknown = "".join("       -" if math.isnan(share) else f"{share:>8.3f}" for share in shares)
    interval = f"{passed.low:.3f} - {passed.high:.3f}"
    return (
        f"{name if part == 'all' else '':<22}{part:<10}{found.cases:>4}{found.f1:>7.3f}"
        f"{passed.value:>8.3f}  {interval:<15}{found.valid:>7.3f}{found.fallback:>10.3f}"
        f"{found.p95_ms:>8.1f}{unknown}"
    )


def _figures(found: Figures) -> dict[str, Any]:
    told = asdict(found)
    return {name: None if isinstance(v, float) and math.isnan(v) else v for name, v in told.items()}


def _failing(each: Scored) -> dict[str, Any]:
    return {
        "id": each.case.id,
        "part": each.case.part,
        "kind": each.case.kind,
        "expected": each.case.expected,
        "found": list(each.answer.labels),
        "decided_by": each.answer.decided_by,
        "wanted_by": each.case.decided_by,
        "reason": each.answer.reason,
        "error": each.answer.error,
    }
