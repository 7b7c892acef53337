"""A bundle of rules: checked whole before anything of it serves, known by its content."""

import json
import shutil
from pathlib import Path

import msgspec
import pytest

from services.mapper.bundles import building
from services.mapper.bundles.bundle import CARD, KIND, load_bundle
from tests.unit.mapper import bundled
from tests.unit.mapper.shipped import component, detectors, frameworks, taxonomy
from trimtab.artifacts.manifest import ArtifactCorrupt, ArtifactError, read_manifest, write_manifest


def spoilt(folder: Path) -> None:
    """Write the manifest again: the content is wrong, not the checksums."""
    write_manifest(folder, name="rules", version="1", kind=KIND)


def test_a_bundle_is_read_back_with_all_that_its_taxonomies_decide_by(tmp_path: Path) -> None:
    bundle, manifest = bundled.written(
        tmp_path, "rules@1", bundled.sources(), bundled.pets(tmp_path / "own")
    )
    safety, pets = bundle.parts

    assert (bundle.reference, bundle.content_hash) == ("rules@1", manifest.hash)
    assert safety.definitions.taxonomy.hash == taxonomy().hash
    assert safety.definitions.detectors.hash == detectors().hash
    assert safety.definitions.frameworks == frameworks()
    assert safety.choice.hash == component().content_hash
    assert list(pets.definitions.detectors.by_name) == ["kennel"]
    assert pets.definitions.frameworks is None
    assert manifest.metadata["ai-safety.taxonomy"] == taxonomy().reference
    assert manifest.metadata["pets.adapter"] == "none"


def test_the_same_files_make_the_same_content_and_a_changed_rule_another(tmp_path: Path) -> None:
    first = bundled.written(tmp_path / "a", "rules@1", bundled.pets(tmp_path / "x"))[1]
    again = bundled.written(tmp_path / "b", "rules@1", bundled.pets(tmp_path / "y"))[1]
    changed = bundled.pets(tmp_path / "z")
    (tmp_path / "z" / "kennel" / "kennel.yaml").write_text(bundled.KENNEL.replace("Dog", "Cat"))
    other = bundled.written(tmp_path / "c", "rules@1", changed)[1]

    assert first.hash == again.hash
    assert first.hash != other.hash


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        pytest.param("pets/detectors/kennel.yaml", "PET.Dog", "PET.Cow",
                     "kennel.yaml.*no label of taxonomy pets", id="label that is not there"),
        pytest.param("pets/taxonomy.yaml", "OTHER.Unknown", "OTHER.Rest",
                     "OTHER.Unknown is missing", id="taxonomy without unknown"),
        pytest.param("pets/taxonomy.yaml", "name: pets", "name: beasts",
                     "is of taxonomy beasts", id="another taxonomy"),
        pytest.param(CARD, '"adapter"', '"adaptor"', "does not parse", id="card"),
    ],
)  # fmt: skip
def test_a_bundle_with_a_wrong_definition_is_refused_whole_and_says_where(
    tmp_path: Path, file: str, old: str, new: str, problem: str
) -> None:
    bundled.written(tmp_path, "rules@1", bundled.pets(tmp_path / "own"))
    path = tmp_path / "rules@1" / file
    path.write_text(path.read_text().replace(old, new))

    with pytest.raises(ArtifactCorrupt, match=r"sha256|bytes"):
        load_bundle(tmp_path / "rules@1")
    spoilt(tmp_path / "rules@1")
    with pytest.raises(ArtifactError, match=problem):
        load_bundle(tmp_path / "rules@1")


def test_a_taxonomy_cannot_stand_in_a_bundle_twice(tmp_path: Path) -> None:
    pets = bundled.pets(tmp_path / "own")

    with pytest.raises(ArtifactCorrupt, match="twice"):
        bundled.written(tmp_path, "rules@1", pets, pets)


def test_a_bundles_folder_holds_nothing_but_what_its_manifest_names(tmp_path: Path) -> None:
    bundled.written(tmp_path, "rules@1", bundled.pets(tmp_path / "own"))
    folder = tmp_path / "rules@1"

    assert set(read_manifest(folder).files) == {
        CARD,
        "pets/taxonomy.yaml",
        "pets/detectors/kennel.yaml",
    }
    card = msgspec.json.decode((folder / CARD).read_bytes())
    assert card == {"taxonomies": {"pets": {"adapter": "", "hash": ""}}}
    shutil.rmtree(folder / "pets")
    with pytest.raises(ArtifactError):
        load_bundle(folder)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRIMTAB_HOME", str(tmp_path))
    (tmp_path / "taxonomies").mkdir()
    (tmp_path / "taxonomies" / "pets.yaml").write_text(bundled.PETS)
    return tmp_path


def test_the_shipped_rules_and_a_users_own_are_built_into_one_bundle_by_the_command(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert building.main(["--name", "safety-rules@2"]) == 0
    assert building.main(["--name", "pets-rules@1", "--taxonomy", "pets"]) == 0
    added = [
        word
        for name in ("safety-rules@2", "pets-rules@1")
        for word in ("--add", str(home / "bundles" / name))
    ]
    capsys.readouterr()

    assert building.main(["--name", "both@1", *added, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)

    assert told["taxonomies"] == ["ai-safety", "pets"]
    assert told["versions"]["ai-safety.adapter"].startswith("safety-head@1+")
    assert load_bundle(Path(told["folder"])).content_hash == told["hash"]


def test_a_built_version_is_never_replaced_by_other_content(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--name", "pets-rules@1", "--taxonomy", "pets"]
    assert building.main(words) == 0
    assert building.main(words) == 0
    (home / "taxonomies" / "pets.yaml").write_text(bundled.PETS.replace("kitten", "kitty"))

    assert building.main(words) == 1
    assert "use a new version" in capsys.readouterr().err
    assert [path.name for path in (home / "bundles").iterdir()] == ["pets-rules@1"]


def test_an_adapter_of_other_labels_is_refused_when_the_bundle_is_built(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--name", "pets-rules@1", "--taxonomy", "pets", "--adapter", "safety-head@1"]

    assert building.main(words) == 1
    assert "was trained for taxonomy ai-safety" in capsys.readouterr().err
    assert not (home / "bundles" / "pets-rules@1").exists()
