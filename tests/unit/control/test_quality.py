from pathlib import Path

import pytest

from trimtab.contracts.errors import InvalidCommand
from trimtab.control.quality import QUALITY_FILE, Environment, parse_thresholds

SHIPPED = (Path("deploy/policies") / QUALITY_FILE).read_bytes()


def test_the_shipped_file_says_what_the_runbook_says() -> None:
    rows = parse_thresholds(SHIPPED, QUALITY_FILE)
    told = {
        environment.value: (
            row.schema_valid_percent,
            row.f1_percent,
            row.p95_ms.cpu,
            row.p95_ms.gpu,
            row.fallback_percent,
            row.min_golden_cases,
            row.taxonomy_coverage_percent,
        )
        for environment, row in rows.items()
    }

    assert told == {
        "dev": (80, 70, 500, 250, 20, 10, 50),
        "staging": (90, 80, 350, 180, 15, 50, 70),
        "prod": (95, 90, 250, 120, 10, 100, 80),
    }


def test_the_profile_chooses_the_slowest_answer_allowed() -> None:
    prod = parse_thresholds(SHIPPED, QUALITY_FILE)[Environment.PROD]

    assert {limit.figure: limit.most for limit in prod.limits("cpu")}["p95_ms"] == 250
    assert {limit.figure: limit.most for limit in prod.limits("gpu")}["p95_ms"] == 120


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (b"f1_percent: 70", b"f1_precent: 70", "f1_precent"),
        (b"f1_percent: 70", b"f1_percent: 170", "<= 100"),
        (b"{cpu: 500, gpu: 250}", b"{cpu: 500}", "gpu"),
        (b"  staging:", b"  stagging:", "stagging"),
        (b"environments:", b"more: 1\nenvironments:", "more"),
    ],
    ids=["unknown key", "no percent", "no gpu", "no environment", "unknown top"],
)
def test_a_file_that_says_something_else_is_refused_with_the_place(
    before: bytes, after: bytes, says: str
) -> None:
    assert before in SHIPPED

    with pytest.raises(InvalidCommand, match=says):
        parse_thresholds(SHIPPED.replace(before, after, 1), QUALITY_FILE)


def test_an_environment_without_a_row_is_refused() -> None:
    alone = SHIPPED.split(b"  staging:")[0]

    with pytest.raises(InvalidCommand, match="no thresholds of staging, prod"):
        parse_thresholds(alone, QUALITY_FILE)
