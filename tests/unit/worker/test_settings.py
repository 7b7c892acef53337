"""Settings come from the environment; what is unknown or out of range is refused by name."""

import pytest

from trimtab.worker.settings import DeploymentSettings, InvalidSettings, WorkerSettings


def test_an_unknown_variable_with_our_prefix_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRIMTAB_NATS_ULR", "nats://nowhere:1")

    with pytest.raises(InvalidSettings, match="TRIMTAB_NATS_ULR"):
        DeploymentSettings.load()


def test_a_value_out_of_range_is_refused_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIMTAB_LOG_LEVEL", "loud")

    with pytest.raises(InvalidSettings, match="TRIMTAB_LOG_LEVEL"):
        DeploymentSettings.load()


def test_settings_cannot_be_changed_after_they_were_read() -> None:
    settings = WorkerSettings()

    with pytest.raises(ValueError, match="frozen"):
        settings.max_in_flight = 1  # type: ignore[misc]
