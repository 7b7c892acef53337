"""Train, report and predict on a taxonomy and examples of a user's own, with vectors from a file."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from services.mapper import predict, reporting, train
from services.mapper.definitions.taxonomy import load_taxonomy
from services.mapper.model.component import load_component
from services.mapper.training import fit as fitting
from services.mapper.training.corpus import wanted_texts
from services.mapper.training.descent import Training
from services.mapper.training.examples import load_examples, training_set
from tests.unit.mapper import tiny
from tests.unit.mapper.bundled import PETS
from trimtab.corpus.vectors import Space, write_vectors

pytest.importorskip("sklearn", reason="training needs the extra trimtab[train]")

SPACE = Space("single_vector.minilm.384.v1", "minilm-int8@1")
SAID = {"PET.Cat": "the {} cat purrs softly", "PET.Dog": "the {} dog barks loudly"}
COLOURS = ("red", "black", "white", "old", "young", "wet", "fat", "thin")


def vectors_of(texts: Sequence[str]) -> np.ndarray:
    """Vectors in which cats and dogs lie apart; the rest is noise that depends on the text alone."""
    rows = []
    for text in texts:
        noise = np.random.default_rng(len(text) + sum(map(ord, text))).standard_normal(8)
        aim = np.eye(8)[0 if "cat" in text else 1 if "dog" in text else 2]
        rows.append(aim + 0.1 * noise)
    return tiny.unit(np.array(rows, dtype=np.float32))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a taxonomy, examples and the vectors of both."""
    monkeypatch.setenv("TRIMTAB_HOME", str(tmp_path))
    small = fitting.Recipe(Training(hidden=16, epochs=20, batch=8), buckets=64, folds=2)
    monkeypatch.setattr(train, "Recipe", lambda: small)
    (tmp_path / "taxonomies").mkdir()
    (tmp_path / "taxonomies" / "pets.yaml").write_text(PETS)
    rows = [
        {"id": f"{label}-{n}", "text": text.format(colour), "label": label, "group": colour}
        for label, text in SAID.items()
        for n, colour in enumerate(COLOURS)
    ]
    (tmp_path / "said.jsonl").write_text("\n".join(map(json.dumps, rows)))
    taxonomy = load_taxonomy(tmp_path / "taxonomies" / "pets.yaml")
    texts = wanted_texts(taxonomy, training_set(load_examples(tmp_path / "said.jsonl", taxonomy)))
    write_vectors(tmp_path / "taught.safetensors", vectors_of(texts), texts, SPACE)
    return tmp_path


def trained(folder: Path, *more: str) -> int:
    words = ["--taxonomy", "pets", "--examples", str(folder / "said.jsonl"), "--name", "pets"]
    return train.main([*words, "--vectors", str(folder / "taught.safetensors"), *more])


def test_a_users_own_labels_are_trained_into_the_home_and_reported(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trained(folder, "--json") == 0
    told = json.loads(capsys.readouterr().out)

    assert told["component"] == "pets@1"
    assert told["held_out"] == 16
    assert told["top1"] > 0.8
    assert load_component(Path(told["folder"])).content_hash == told["hash"]

    assert reporting.main(["pets@1", "--page", str(folder / "pets.html"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["calibration"] == told["calibration"]
    assert report["errors"]["raw"] == told["error_before"]
    assert len(report["curve"]) == 101
    page = (folder / "pets.html").read_text()
    assert page.count("<svg") == 2
    assert "Confidence of pets@1" in page
    assert not any(colour in page for colour in ("purrs", "barks"))


def test_the_report_names_thresholds_of_each_detector_that_the_examples_name(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [json.loads(line) for line in (folder / "said.jsonl").read_text().splitlines()]
    (folder / "said").mkdir()
    for place, name in enumerate(("acme", "text")):
        kept = [row for row in rows if COLOURS.index(row["group"]) % 2 == place]
        (folder / "said" / f"{name}.jsonl").write_text("\n".join(map(json.dumps, kept)))
    words = ["--taxonomy", "pets", "--examples", str(folder / "said"), "--name", "pets"]
    taxonomy = load_taxonomy(folder / "taxonomies" / "pets.yaml")
    texts = wanted_texts(taxonomy, training_set(load_examples(folder / "said", taxonomy)))
    write_vectors(folder / "both.safetensors", vectors_of(texts), texts, SPACE)
    assert train.main([*words, "--vectors", str(folder / "both.safetensors")]) == 0
    capsys.readouterr()

    assert reporting.main(["pets@1", "--page", str(folder / "pets.html"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)

    assert {name: part["answers"] for name, part in told["detectors"].items()} == {
        "acme": 8,
        "text": 8,
    }
    for part in told["detectors"].values():
        assert part["thresholds"]["max_f1"]["f1"] == max(point["f1"] for point in part["curve"])
    page = (folder / "pets.html").read_text()
    assert page.count("<svg") == 3
    assert "By detector" in page


def test_a_file_of_texts_is_answered_line_by_line_best_label_first(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trained(folder) == 0
    texts = ["the grey cat purrs", "the grey dog barks"]
    asked = folder / "asked.jsonl"
    asked.write_text("\n".join(json.dumps({"id": t[-5:], "text": t, "label": "x"}) for t in texts))
    write_vectors(folder / "asked.safetensors", vectors_of(texts), texts, SPACE)
    words = [str(asked), "--adapter", "pets", "--vectors", str(folder / "asked.safetensors")]
    capsys.readouterr()

    assert predict.main([*words, "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert [row["taxonomy"][0] for row in rows] == ["PET.Cat", "PET.Dog"]
    assert [row["id"] for row in rows] == ["purrs", "barks"]
    assert all(row["decided_by"] == "model" and 0 <= row["confidence"] <= 1 for row in rows)

    assert predict.main([*words, "--json", "--threshold", "1"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {tuple(row["taxonomy"]) for row in rows if row["confidence"] < 1} <= {("OTHER.Unknown",)}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "holds no row"),
        ("{", "line 1: is not JSON"),
        ('{"id": "1"}', "line 1: id and text must be"),
        ("[1]", "line 1: id and text must be"),
    ],
)
def test_a_file_that_cannot_be_answered_is_refused_with_its_line(
    folder: Path, capsys: pytest.CaptureFixture[str], content: str, problem: str
) -> None:
    (folder / "asked.jsonl").write_text(content)

    assert predict.main([str(folder / "asked.jsonl"), "--adapter", "pets"]) == 1
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"--taxonomy": "birds"}, "cannot be read"),
        ({"--examples": "nowhere.jsonl"}, "holds no examples"),
        ({"--vectors": "nowhere.safetensors"}, "cannot be read"),
    ],
)
def test_training_says_in_one_line_what_is_missing(
    folder: Path, capsys: pytest.CaptureFixture[str], change: dict[str, str], problem: str
) -> None:
    given = {
        "--taxonomy": "pets",
        "--examples": str(folder / "said.jsonl"),
        "--name": "pets",
        "--vectors": str(folder / "taught.safetensors"),
    } | change

    assert train.main([word for pair in given.items() for word in pair]) == 1
    assert f"error: {''}" in (said := capsys.readouterr().err)
    assert problem in said


def test_a_component_that_was_trained_before_reports_were_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert reporting.main(["safety-head@1", "--json"]) == 1
    assert "before reports" in json.loads(capsys.readouterr().out)["error"]["problem"]


@pytest.mark.parametrize("name", ["Pets", "pets@", "@1", "../pets@1", "pets@1@2"])
def test_a_name_that_is_no_reference_is_refused(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        train.main(["--name", name])
    assert "--name" in capsys.readouterr().err


def brought(folder: Path, wrong: int = 0) -> tuple[str, str]:
    """Write ten examples that no training saw, some of them labelled wrongly, and their vectors."""
    rows: list[dict[str, str]] = []
    for n, colour in enumerate(("brown", "grey", "tiny", "loud", "calm")):
        for label, text in SAID.items():
            mine = label if len(rows) >= wrong else "OTHER.Unknown"
            said = {
                "id": f"{label}-{n}",
                "text": text.format(colour),
                "label": mine,
                "group": colour,
            }
            rows.append(said)
    file, vectors = folder / "mine.jsonl", folder / "mine.safetensors"
    file.write_text("\n".join(map(json.dumps, rows)))
    texts = [str(row["text"]) for row in rows]
    write_vectors(vectors, vectors_of(texts), texts, SPACE)
    return str(file), str(vectors)


@pytest.mark.parametrize("wrong", [0, 3])
def test_a_component_is_measured_on_examples_that_somebody_brings(
    folder: Path, capsys: pytest.CaptureFixture[str], wrong: int
) -> None:
    assert trained(folder) == 0
    file, vectors = brought(folder, wrong)
    capsys.readouterr()

    words = ["pets@1", "--examples", file, "--taxonomy", "pets", "--vectors", vectors, "--json"]
    assert reporting.main(words) == 0
    told = json.loads(capsys.readouterr().out)

    assert (told["answers"], told["top1"]) == (10, (10 - wrong) / 10)
    assert set(told["errors"]) == {"raw", told["calibration"]}
    assert sum(part["answers"] for part in told["after"]) == 10
    assert told["curve"][0]["coverage"] == 1.0


def test_a_component_is_not_measured_on_what_it_was_trained_on(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trained(folder) == 0
    capsys.readouterr()

    words = ["pets@1", "--examples", str(folder / "said.jsonl"), "--taxonomy", "pets"]
    assert reporting.main([*words, "--vectors", str(folder / "taught.safetensors")]) == 1
    assert "it never saw" in capsys.readouterr().err
