from pathlib import Path

import pytest

from services.mapper.definitions.document import DefinitionInvalid
from services.mapper.definitions.taxonomy import LABEL_NAME, load_taxonomy
from tests.unit.mapper.shipped import taxonomy, written
from trimtab.contracts.mapping import UNKNOWN

SMALL = """\
name: small
version: "1"
families:
  HARM:
    description: Harm.
    labels:
      HARM.Hate: {description: Hatred of a group., aliases: [hate speech]}
      HARM.Threat: {description: A threat.}
  OTHER:
    description: The rest.
    labels:
      OTHER.Unknown: {description: Nobody knows., vague: true}
"""


def changed(folder: Path, old: str, new: str) -> Path:
    assert old in SMALL
    return written(folder, "small.yaml", SMALL.replace(old, new))


def test_the_shipped_taxonomy_has_six_families_or_more_and_about_fifty_labels() -> None:
    families = {name.split(".")[0] for name in taxonomy().labels}

    assert len(families) >= 6
    assert 45 <= len(taxonomy().labels) <= 65
    assert UNKNOWN in taxonomy().labels


def test_every_shipped_label_is_named_and_described() -> None:
    for label in taxonomy().labels.values():
        assert LABEL_NAME.fullmatch(label.name)
        assert len(label.description) >= 20 or label.vague
        assert label.aliases or label.name == UNKNOWN


def test_a_label_is_found_by_alias_and_by_its_own_name_in_any_spelling(tmp_path: Path) -> None:
    found = load_taxonomy(written(tmp_path, "small.yaml", SMALL))

    assert found.by_name["hate speech"] == "HARM.Hate"
    assert found.by_name["harm hate"] == "HARM.Hate"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        pytest.param("version:", "vresion:", "vresion: unknown key", id="unknown key"),
        pytest.param("A threat.", "A threat., alias: [x]", "alias: unknown key", id="unknown in label"),
        pytest.param("A threat.", "A threat., aliases: [Hate_Speech]", "already means", id="two meanings"),
        pytest.param("A threat.", "A threat., aliases: ['--']", "no letters", id="empty alias"),
        pytest.param("A threat.", "A threat., controls: {}", "frameworks file", id="controls inside"),
        pytest.param("HARM.Hate:", "harm.hate:", "must be called", id="malformed label"),
        pytest.param("HARM.Hate:", "OTHER.Hate:", "must be called HARM", id="label of another family"),
        pytest.param("OTHER.Unknown:", "OTHER.Rest:", "OTHER.Unknown is missing", id="no unknown"),
        pytest.param("Hatred of a group.", "''", "non-empty text", id="no description"),
    ],
)  # fmt: skip
def test_a_wrong_taxonomy_is_refused_with_file_and_key(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    with pytest.raises(DefinitionInvalid, match=rf"small\.yaml.*{problem}"):
        load_taxonomy(changed(tmp_path, old, new))


PLACED = """\
name: placed
version: "1"
tactics: {collection: gather data, impact: break things}
families:
  T1:
    description: First.
    labels:
      T1: {title: Capture, description: Takes a picture., tactics: [collection]}
      T1.1: {title: Screen, description: Takes the screen., parent: T1, tactics: [collection, impact]}
  OTHER:
    description: The rest.
    labels:
      OTHER.Unknown: {description: Nobody knows., vague: true}
"""


def test_a_label_may_have_a_title_a_parent_and_tactics(tmp_path: Path) -> None:
    found = load_taxonomy(written(tmp_path, "placed.yaml", PLACED))

    screen = found.labels["T1.1"]
    assert (screen.title, screen.parent) == ("Screen", "T1")
    assert screen.tactics == ("collection", "impact")
    assert screen.text == "Screen. Takes the screen."
    assert list(found.tactics) == ["collection", "impact"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        pytest.param("parent: T1,", "parent: T9,", "T9 is no label", id="no such parent"),
        pytest.param("parent: T1,", "parent: T1.1,", "leads back", id="its own parent"),
        pytest.param("Takes a picture.", "x, parent: T1.1", "leads back", id="a circle"),
        pytest.param("[collection]", "[theft]", "theft is not declared", id="no such tactic"),
    ],
)
def test_a_place_that_makes_no_sense_is_refused(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    with pytest.raises(DefinitionInvalid, match=problem):
        load_taxonomy(written(tmp_path, "placed.yaml", PLACED.replace(old, new)))


def test_a_changed_place_changes_the_hash_and_a_taxonomy_without_places_keeps_its_own(
    tmp_path: Path,
) -> None:
    before = load_taxonomy(written(tmp_path, "placed.yaml", PLACED)).hash
    moved = written(tmp_path, "moved.yaml", PLACED.replace("parent: T1, ", ""))

    assert load_taxonomy(moved).hash != before
    assert taxonomy().hash == "1d91bd7cea1e", "the shipped adapter was trained on this content"


def test_the_hash_follows_the_content_and_not_the_version(tmp_path: Path) -> None:
    original = load_taxonomy(written(tmp_path, "small.yaml", SMALL))
    renumbered = load_taxonomy(changed(tmp_path, 'version: "1"', 'version: "2"'))
    rewritten = load_taxonomy(changed(tmp_path, "Hatred of a group.", "Hatred of groups."))

    assert renumbered.hash == original.hash
    assert rewritten.hash != original.hash
    assert original.reference == f"small@1+{original.hash}"
