"""Wrong command lines end with 2 and say what would be right; an absent deployment ends with 3."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from trimtab.cli.app import build
from trimtab.evaluation.vectorbundle import BundleCard, VectorBundle, write_bundle

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
    ("words", "says"),
    [
        (["nothere", "--bundle", "B", "--base", "B"], "holds the vectors of docs, not of nothere"),
        (["docs", "--bundle", "B"], "--bundle and --base belong together"),
        (["docs", "--base", "B"], "--bundle and --base belong together"),
        (["docs", "--bundle", "B", "--base", "B", "--queries", "B/card.json"], "--queries means"),
        (["docs", "--bundle", "B", "--base", "B", "--n", "500"], "--n means nothing beside"),
        (["docs", "--bundle", "B", "--base", "B", "--release", "r"], "--release means nothing"),
        (["docs", "--bundle", "B", "--base", "B", "--tenant", "t"], "--tenant means nothing"),
        (["docs", "--kind", "flat"], "no kind of index"),
        (["docs", "--kind", "hnsw", "--nlist", "8"], "--nlist means nothing to hnsw"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_an_index_is_not_built_of_options_that_would_not_be_obeyed(
    runner: CliRunner, tmp_path: Path, words: list[str], says: str
) -> None:
    card = BundleCard(collection="docs", index="docs@1", namespace="n", encoder="e@1")
    none = np.empty((0, 2), dtype=np.float32)
    write_bundle(tmp_path / "B", VectorBundle(card, [], none, [], none))
    placed = [str(tmp_path / word) if word[0] == "B" else word for word in words]

    result = runner.invoke(build(), ["index", "build", *placed, "--nats", NOBODY])

    assert result.exit_code == 2, result.output
    assert says in " ".join(result.stderr.split())


def test_an_index_that_nobody_could_judge_is_not_even_built_to_be_pushed(runner: CliRunner) -> None:
    result = runner.invoke(build(), ["index", "build", "docs", "--push", "--json"])

    assert result.exit_code == 4
    assert "without --queries" in json.loads(result.stdout)["error"]["problem"]


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
