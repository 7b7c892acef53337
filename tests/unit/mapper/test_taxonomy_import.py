"""Label sets from elsewhere become taxonomies, or one error that names the file and the line."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.mapper.definitions.document import DefinitionInvalid
from services.mapper.definitions.published import read_published
from services.mapper.definitions.taxonomy import load_taxonomy
from services.mapper.taxonomy_import import Source, import_taxonomy, main
from services.mapper.training.examples import load_examples
from tests.unit.mapper.shipped import written
from trimtab.contracts.mapping import UNKNOWN

ATTACK = Path("../shared/data/attack")
ROWS: list[dict[str, Any]] = [
    {"id": "T1", "name": "Capture", "description": "Takes a picture.", "tactics": ["collection"], "parent": None},
    {"id": "T1.1", "name": "Screen", "description": "Takes the screen.", "tactics": ["collection"], "parent": "T1"},
    {"id": "T2", "name": "Replay", "description": "Sends it again.", "tactics": ["impact"], "parent": None},
    {"id": "T2.1", "name": "Screen", "description": "Shows it.", "tactics": ["impact"], "parent": "T2"},
]  # fmt: skip


def jsonl(folder: Path, rows: list[dict[str, Any]], name: str = "rows.jsonl") -> Path:
    return written(folder, name, "\n".join(map(json.dumps, rows)) + "\n")


def test_rows_become_a_taxonomy_with_parents_tactics_and_a_label_for_the_rest(
    tmp_path: Path,
) -> None:
    made, file = import_taxonomy(
        jsonl(tmp_path, ROWS), Source.ATTACK, "", "3", tmp_path / "out", lambda line: None
    )

    assert file == tmp_path / "out" / "attack.yaml"
    assert load_taxonomy(file).reference == made.reference
    assert made.reference.startswith("attack@3+")
    assert set(made.labels) == {"T1", "T1.1", "T2", "T2.1", UNKNOWN}
    assert made.labels["T1.1"].parent == "T1"
    assert made.labels["T2.1"].tactics == ("impact",)
    assert list(made.tactics) == ["collection", "impact"]


def test_a_name_that_two_labels_share_is_no_alias_but_with_its_parents_it_is(
    tmp_path: Path,
) -> None:
    made, _ = import_taxonomy(
        jsonl(tmp_path, ROWS), Source.JSONL, "mine", "1", tmp_path, lambda line: None
    )

    assert made.labels["T1.1"].aliases == ("Capture: Screen",)
    assert made.labels["T2.1"].aliases == ("Replay: Screen",)
    assert made.by_name["capture"] == "T1"
    assert "screen" not in made.by_name


def test_the_same_rows_have_the_same_hash_and_other_rows_another(tmp_path: Path) -> None:
    changed = [{**ROWS[0], "description": "Takes a photo."}, *ROWS[1:]]
    hashes = [
        import_taxonomy(
            jsonl(tmp_path, rows), Source.ATTACK, "", "1", tmp_path / str(n), lambda line: None
        )[0].hash
        for n, rows in enumerate((ROWS, ROWS, changed))
    ]

    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param({"id": "t1"}, "line 1: the id t1 is no label name", id="no label name"),
        pytest.param({"id": "T2"}, "line 3: the id T2 stands twice", id="twice"),
        pytest.param({"parent": "T9"}, "its parent T9 is no row", id="no parent"),
        pytest.param({"tactics": []}, "line 1: T1 serves no tactic", id="no tactic"),
        pytest.param({"tactics": "collection"}, "tactics must be a list", id="a tactic, no list"),
        pytest.param({"description": " "}, "description must be a non-empty text", id="blank"),
        pytest.param({"name": 7}, "name must be a non-empty text", id="a number"),
        pytest.param({"url": "x"}, "unknown key url; known: id, name", id="unknown key"),
    ],
)
def test_a_row_that_makes_no_sense_is_refused_with_its_line(
    tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    file = jsonl(tmp_path, [{**ROWS[0], **change}, *ROWS[1:]])

    with pytest.raises(DefinitionInvalid, match=rf"rows\.jsonl: .*{problem}"):
        read_published(file, tactics=True)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "line 1: is not JSON"),
        ("[]", "line 1: must be a JSON object"),
        ("\n\n", "holds no row"),
    ],
)
def test_a_file_that_holds_no_rows_is_refused(tmp_path: Path, content: str, problem: str) -> None:
    with pytest.raises(DefinitionInvalid, match=problem):
        read_published(written(tmp_path, "rows.jsonl", content))


def test_parents_in_a_circle_leave_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = jsonl(tmp_path, [{**ROWS[0], "parent": "T1.1"}, *ROWS[1:]])

    assert main([str(file), "--from", "attack", "--out", str(tmp_path / "out"), "--json"]) == 1

    error = json.loads(capsys.readouterr().out)["error"]
    assert error["name"] == "DefinitionInvalid"
    assert "leads back" in error["problem"]
    assert list((tmp_path / "out").iterdir()) == []


def test_a_taxonomy_of_our_own_kind_is_checked_and_kept_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, _ = import_taxonomy(
        jsonl(tmp_path, ROWS), Source.JSONL, "mine", "1", tmp_path, lambda line: None
    )
    own = tmp_path / "mine.yaml"

    assert main([str(own), "--from", "yaml", "--out", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["hash"] == first.hash
    assert (tmp_path / "out" / "mine.yaml").read_text() == own.read_text()
    assert main([str(own), "--from", "yaml", "--name", "theirs", "--out", str(tmp_path)]) == 1


def test_procedures_become_examples_whose_group_is_the_actor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    procedure = {"id": "p1", "text": "It took a picture.", "technique": "T1", "actor": "Magpie"}
    said = jsonl(tmp_path, [{**procedure, "actor_type": "malware"}], "said.jsonl")
    rows, out = jsonl(tmp_path, ROWS), tmp_path / "out"
    words = [str(rows), "--from", "attack", "--out", str(out), "--procedures"]

    assert main([*words, str(said), "--json"]) == 0

    told = json.loads(capsys.readouterr().out)
    assert told["examples"] == {"file": str(out / "attack-examples.jsonl"), "rows": 1}
    (example,) = load_examples(out / "attack-examples.jsonl", load_taxonomy(Path(told["file"])))
    assert (example.labels, example.group, example.detector) == (("T1",), "Magpie", "text")

    foreign = jsonl(tmp_path, [{**procedure, "technique": "T7"}], "foreign.jsonl")
    assert main([*words, str(foreign)]) == 1
    assert "line 1: 'T7' is no label of attack" in capsys.readouterr().err


@pytest.mark.skipif(not ATTACK.is_dir(), reason="../shared/data/attack is not here")
def test_the_techniques_of_mitre_attack_are_imported_whole(tmp_path: Path) -> None:
    made, _ = import_taxonomy(
        ATTACK / "techniques.jsonl", Source.ATTACK, "", "1", tmp_path, lambda line: None
    )

    assert len(made.labels) == 692
    assert sum(bool(label.parent) for label in made.labels.values()) == 475
    assert len(made.tactics) == 14
    assert all(label.tactics for label in made.labels.values() if label.name != UNKNOWN)
    assert made.labels["T1001.002"].parent == "T1001"
