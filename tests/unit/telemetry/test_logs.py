"""A log line carries allow-listed keys only: no text, label or secret can slip in."""

import json
import logging

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


def test_a_librarys_line_is_one_of_ours_without_what_was_put_into_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.configure("info", pretty=False)
    library = logging.getLogger("some.library")
    monkeypatch.setattr(library, "handlers", [logs.Libraries(logs.get("gateway", "g-0"))])
    monkeypatch.setattr(library, "propagate", False)

    library.warning("Invalid request from %s.\nBody: %s", SECRET, SECRET)
    try:
        raise ValueError(SECRET)
    except ValueError:
        library.exception("It failed.")

    printed = capsys.readouterr().out
    first, second = (json.loads(line) for line in printed.splitlines())
    assert SECRET not in printed
    assert (first["event"], first["logger"]) == ("library", "some.library")
    assert (first["instance"], first["detail"]) == ("g-0", "Invalid request from %s.")
    assert (second["level"], second["detail"]) == ("error", "It failed.")
