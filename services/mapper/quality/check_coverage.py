"""``python -m services.mapper.quality.check_coverage``: enough golden cases per detector, and of every category?

Asked for by `trimtab mapper quality check-coverage`; asks no mapper.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from services.mapper.command import add_json, finish
from services.mapper.quality.coverage import Coverage, coverage
from services.mapper.quality.report import covered
from services.mapper.quality.validate import add_thresholds, prepared
from trimtab.control.quality import Thresholds
from trimtab.evaluation.gates import Gate, all_hold, at_least


def judged(found: Coverage, thresholds: Thresholds) -> list[Gate]:
    """Return a check per detector, and one of the categories."""
    least = thresholds.taxonomy_coverage_percent / 100
    return [
        *(
            at_least(f"cases of {name}", count, thresholds.min_golden_cases)
            for name, count in found.cases.items()
        ),
        at_least("categories of the taxonomy", found.share, least, f"of {_every(found)}"),
    ]


def lines(found: Coverage, checks: Sequence[Gate]) -> list[str]:
    """Return it for people."""
    told = [check.line() for check in checks]
    if found.missing:
        told.append(f"no case expects a label of {', '.join(found.missing)}")
    if found.labels:
        told.append(f"no case expects {', '.join(found.labels)}")
    return told


def _every(found: Coverage) -> int:
    return len(found.covered) + len(found.missing)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: 0 enough, 1 not enough or not to be done."""
    made = argparse.ArgumentParser(prog="python -m services.mapper.quality.check_coverage")
    add_thresholds(made)
    add_json(made)
    given = made.parse_args(argv)
    verdict: list[bool] = []

    def work() -> tuple[Any, list[str]]:
        asked = prepared(given)
        names = given.detector or list(asked.detectors.by_name)
        found = coverage(asked.golden, names, asked.taxonomy)
        checks = judged(found, asked.thresholds)
        verdict.append(all_hold(checks))
        told = {"ok": verdict[0], "checks": [check.shape() for check in checks], **covered(found)}
        return told, lines(found, checks)

    code = finish(work, as_json=given.json)
    return code or int(not all(verdict))


if __name__ == "__main__":
    sys.exit(main())
