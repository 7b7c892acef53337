"""The command line runs the mapper's own modules and ends as they end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trimtab.cli.app import build

_TRIMTAB = Path(sys.executable).with_name("trimtab").as_posix()
ROWS = (
    '{"id": "PET.Cat", "name": "Cat", "description": "A cat that purrs."}\n'
    '{"id": "PET.Dog", "name": "Dog", "description": "A dog that barks."}\n'
)


def mapper(home: Path, *words: str) -> tuple[int, str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "TRIMTAB_NATS_URL"}
    done = subprocess.run(
        [_TRIMTAB, "mapper", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**kept, "TRIMTAB_HOME": str(home)},
    )
    return done.returncode, done.stdout, done.stderr


def test_an_imported_taxonomy_lies_in_the_home_and_is_told_as_json(tmp_path: Path) -> None:
    (tmp_path / "pets.jsonl").write_text(ROWS)

    code, out, err = mapper(
        tmp_path, "taxonomy", "import", str(tmp_path / "pets.jsonl"), "--name", "pets", "--json"
    )

    told = json.loads(out)
    assert code == 0
    assert told["labels"] == 3
    assert told["file"] == str(tmp_path / "taxonomies" / "pets.yaml")
    assert Path(told["file"]).is_file()
    assert "2 rows" in err


def test_what_the_mapper_refuses_ends_with_1_and_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "pets.jsonl").write_text('{"id": "PET.Cat", "label": "Cat"}\n')

    code, out, err = mapper(tmp_path, "taxonomy", "import", str(tmp_path / "pets.jsonl"), "--json")

    assert code == 1
    assert json.loads(out)["error"]["name"] == "DefinitionInvalid"
    assert "line 1: unknown key label; known: id, name" in err


def test_the_kind_of_a_file_follows_from_its_ending(tmp_path: Path) -> None:
    (tmp_path / "pets.yaml").write_text("name: pets\n")

    code, _, err = mapper(tmp_path, "taxonomy", "import", str(tmp_path / "pets.yaml"))

    assert code == 1
    assert "OTHER.Unknown is missing" in err


def test_pushing_without_a_deployment_ends_with_3_before_any_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIMTAB_HOME", str(tmp_path))
    monkeypatch.delenv("TRIMTAB_NATS_URL", raising=False)
    words = ["--taxonomy", "pets", "--examples", "said.jsonl", "--name", "pets", "--push"]

    result = CliRunner().invoke(build(), ["mapper", "train", *words])

    assert result.exit_code == 3
    assert "no deployment to push to" in result.stderr
    assert "trimtab up" in result.stderr
