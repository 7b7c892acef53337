"""The checklist after a change: PASS, FAIL or UNKNOWN per line, and an exit code that means it."""

import pytest

from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import Failure
from trimtab.cli.verify import checklist, ending
from trimtab.contracts.samples import AlertStatus, StatusReply


def alert(name: str, state: str, measured: float | None = 0.02) -> AlertStatus:
    return AlertStatus(
        name=name,
        severity="warning",
        state=state,  # type: ignore[arg-type]  # one of the five
        condition="map_fallback_rate > 10% for 10 minutes",
        measured=measured,
        requests=120,
    )


def status(*alerts: AlertStatus) -> StatusReply:
    return StatusReply(at=1.0, workers=[], revision=7, release="base", alerts=list(alerts))


@pytest.mark.parametrize(
    ("states", "named", "code"),
    [
        pytest.param(["quiet", "inhibited"], False, ExitCode.OK, id="all-is-well"),
        pytest.param(["quiet", "unknown"], False, ExitCode.OK, id="not-everything-was-asked"),
        pytest.param(["quiet", "unknown"], True, ExitCode.INCONCLUSIVE, id="but-it-was-named"),
        pytest.param(["unknown"], False, ExitCode.INCONCLUSIVE, id="nothing-is-known"),
        pytest.param(["quiet", "pending"], False, ExitCode.FAILED, id="violated-now"),
        pytest.param(["unknown", "firing"], True, ExitCode.FAILED, id="violated-for-long"),
    ],
)
def test_the_exit_code_says_whether_to_go_on(
    states: list[str], named: bool, code: ExitCode
) -> None:
    alerts = [alert("A", s, None if s == "unknown" else 0.2) for s in states]

    assert ending(checklist(status(*alerts), []), named=named) is code


def test_a_line_says_what_was_measured_on_how_much_and_what_would_raise_the_alert() -> None:
    [_, line] = checklist(
        status(alert("MapperFallbackHigh", "quiet"), alert("Other", "firing")), ["Map*"]
    )

    assert line.result == "PASS"
    assert line.detail == "0.02 on 120; raised by map_fallback_rate > 10% for 10 minutes"


def test_a_name_that_fits_no_alert_is_refused() -> None:
    with pytest.raises(Failure, match="Mapepr"):
        checklist(status(alert("Mapper5xxHigh", "quiet")), ["Mapepr*"])
