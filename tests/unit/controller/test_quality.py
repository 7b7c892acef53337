from pathlib import Path

import pytest

from services.controller.quality import read_quality
from services.controller.settings import ControllerSettings
from trimtab.contracts.errors import InvalidCommand
from trimtab.control.quality import QUALITY_FILE, Environment


def least_f1(settings: ControllerSettings) -> float | None:
    return {limit.figure: limit.least for limit in read_quality(settings)}["f1"]


def slowest_ms(settings: ControllerSettings) -> float | None:
    return {limit.figure: limit.most for limit in read_quality(settings)}["p95_ms"]


def test_the_environment_and_the_profile_choose_the_limits_and_prod_on_cpu_unless_said() -> None:
    assert least_f1(ControllerSettings()) == pytest.approx(0.9)
    assert slowest_ms(ControllerSettings()) == 250
    assert least_f1(ControllerSettings(environment=Environment.DEV)) == pytest.approx(0.7)
    assert slowest_ms(ControllerSettings(profile="gpu")) == 120


def test_without_a_file_among_the_policies_only_the_reports_own_verdict_is_left(
    tmp_path: Path,
) -> None:
    assert read_quality(ControllerSettings(policies=tmp_path)) == ()


def test_a_file_that_was_named_must_be_there_and_be_right(tmp_path: Path) -> None:
    with pytest.raises(InvalidCommand, match="CONTROLLER_QUALITY"):
        read_quality(ControllerSettings(quality=tmp_path / "none.yaml"))
    (tmp_path / QUALITY_FILE).write_text("environments: {}\n")
    with pytest.raises(InvalidCommand, match="no thresholds of dev"):
        read_quality(ControllerSettings(policies=tmp_path))
