"""A log line carries allow-listed keys only: no text, label or secret can slip in."""

import json

import pytest
import structlog

from trimtab.telemetry import logs

SECRET = "patient 4711 said something private"


def test_a_key_that_is_not_allowed_is_withheld_and_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("info", pretty=False)

    logs.get("encoder", "encoder-0").info("request", text=SECRET, took_ms=1.5)

    line = json.loads(capsys.readouterr().out)
    assert SECRET not in json.dumps(line)
    assert line["withheld"] == ["text"]
    assert line["took_ms"] == 1.5
    assert line["service"] == "encoder"


def test_an_exceptions_message_and_locals_stay_out(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", pretty=False)
    log = logs.get("encoder", "encoder-0")

    try:
        private = SECRET
        raise ValueError(private)
    except ValueError:
        log.exception("crashed", error="ValueError")

    printed = capsys.readouterr().out
    assert SECRET not in printed
    assert "test_logs.py" in printed


def test_a_logger_made_before_the_configuration_obeys_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    structlog.reset_defaults()
    log = logs.get("encoder", "encoder-0")

    logs.configure("warning", pretty=False)
    log.info("request", took_ms=1.5)
    log.warning("request", text=SECRET)

    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line)["withheld"] == ["text"]
