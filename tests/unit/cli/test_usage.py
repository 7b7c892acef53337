"""Wrong command lines end with 2 and say what would be right; an absent deployment ends with 3."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trimtab.cli.app import build

NOBODY = "nats://127.0.0.1:1"


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("TRIMTAB_HOME", str(tmp_path))
    monkeypatch.delenv("TRIMTAB_NATS_URL", raising=False)
    return CliRunner()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["search", "x", "--collection", "No Such"], "lower-case"),
        (["search", "x", "--limit", "101"], "less than or equal to 100"),
        (["search", "  "], "blank"),
        (["search"], "Missing argument"),
        (["ingest", "nowhere.jsonl"], "does not exist"),
        (["ingest", __file__], "known endings"),
        (["map", "x", "--threshold", "1.5"], "less than or equal to 1"),
        (["up", "--workers", "encoder=0"], "from 1 to 64"),
        (["up", "--workers", "nobody=2"], "unknown service"),
        (["up", "--corpus-modules", "shutil,nosuch"], "nosuch"),
        (["up", "--nats-port", "70000"], "65535"),
        (["fly"], "No such command"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value)[:40],
)
def test_a_wrong_command_line_ends_with_2_and_says_why(
    runner: CliRunner, arguments: list[str], says: str
) -> None:
    result = runner.invoke(build(), arguments)

    assert result.exit_code == 2, result.output
    assert says in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    "arguments",
    [["search", "x"], ["map", "x"], ["status"], ["ingest", "one.md"]],
    ids=lambda arguments: arguments[0],
)
def test_an_absent_deployment_ends_with_3_and_names_the_command_that_starts_one(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    (tmp_path / "one.md").write_text("# One\n\nText.\n")
    monkeypatch.chdir(tmp_path)

    result = runner.invoke(build(), [*arguments, "--nats", NOBODY, "--json"])

    assert result.exit_code == 3, result.output
    assert "trimtab up" in result.stderr
    assert "Traceback" not in result.output
    assert json.loads(result.stdout)["error"]["name"] == "BusUnavailable"


def test_nothing_to_stop_is_no_error(runner: CliRunner, tmp_path: Path) -> None:
    shown = runner.invoke(build(), ["down"])
    scripted = runner.invoke(build(), ["down", "--json"])

    assert (shown.exit_code, scripted.exit_code) == (0, 0)
    assert "nothing runs in" in shown.stdout
    assert json.loads(scripted.stdout) == {"stopped": False}


def test_help_lists_every_command_and_the_exit_codes(runner: CliRunner) -> None:
    result = runner.invoke(build(), ["--help"])

    for command in ("up", "down", "status", "doctor", "ingest", "search", "map", "version"):
        assert f"\n  {command} " in result.stdout
    assert "3 no deployment answers" in " ".join(result.stdout.split())


@pytest.mark.parametrize("command", ["up", "down", "status", "doctor", "ingest", "search", "map"])
def test_every_command_can_print_json(runner: CliRunner, command: str) -> None:
    assert "--json" in runner.invoke(build(), [command, "--help"]).stdout


def test_the_version_is_the_installed_one(runner: CliRunner) -> None:
    found = json.loads(runner.invoke(build(), ["version", "--json"]).stdout)

    assert found["trimtab"]
    assert found["python"].startswith("3.")
