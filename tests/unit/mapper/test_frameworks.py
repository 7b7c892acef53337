"""Controls per label: cited by number, every label mapped or said to bear on none."""

import json
from pathlib import Path

import pytest

from services.mapper import mapped_controls
from services.mapper.definitions.definitions import load_definitions
from services.mapper.definitions.document import DefinitionInvalid
from services.mapper.definitions.frameworks import load_frameworks
from services.mapper.definitions.taxonomy import Taxonomy, load_taxonomy
from services.mapper.settings import MapperSettings
from tests.unit.mapper.shipped import frameworks, taxonomy, written
from trimtab.contracts.mapping import UNKNOWN

SMALL = """\
name: small
version: "1"
families:
  HARM:
    description: Harm.
    labels:
      HARM.Hate: {description: Hatred of a group.}
      HARM.Threat: {description: A threat.}
  OTHER:
    description: The rest.
    labels:
      OTHER.Unknown: {description: Nobody knows., vague: true}
"""

CONTROLS = """\
name: small-controls
version: "1"
taxonomy: small
frameworks: {SOC2: 'CC[1-9]\\.\\d', HIPAA: '164\\.\\d{3}'}
families:
  HARM: {SOC2: [CC7.2], HIPAA: ["164.308"]}
labels:
  HARM.Threat: {SOC2: [CC7.4, CC7.2]}
none: [OTHER.Unknown]
"""


@pytest.fixture
def small(tmp_path: Path) -> Taxonomy:
    return load_taxonomy(written(tmp_path, "small.yaml", SMALL))


def test_a_label_has_its_own_controls_in_place_of_its_familys_framework_by_framework(
    small: Taxonomy, tmp_path: Path
) -> None:
    found = load_frameworks(written(tmp_path, "controls.yaml", CONTROLS), small)

    assert found.labels["HARM.Hate"] == {"SOC2": ("CC7.2",), "HIPAA": ("164.308",)}
    assert found.labels["HARM.Threat"] == {"SOC2": ("CC7.4", "CC7.2"), "HIPAA": ("164.308",)}
    assert found.labels["OTHER.Unknown"] == {}


def test_the_controls_of_several_labels_stand_once_each_and_only_of_the_frameworks_asked_for(
    small: Taxonomy, tmp_path: Path
) -> None:
    found = load_frameworks(written(tmp_path, "controls.yaml", CONTROLS), small)
    both = ("HARM.Threat", "HARM.Hate")

    assert found.controls_of(both) == {"SOC2": ["CC7.4", "CC7.2"], "HIPAA": ["164.308"]}
    assert found.controls_of(both, ["HIPAA"]) == {"HIPAA": ["164.308"]}
    assert found.controls_of(both, []) == {}
    assert found.labels_of("SOC2") == {
        "CC7.2": ["HARM.Hate", "HARM.Threat"],
        "CC7.4": ["HARM.Threat"],
    }


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        pytest.param("[CC7.2]", "[CC7.22]", "no control number of SOC2", id="malformed control"),
        pytest.param("[CC7.2]", "[see CC7.2]", "no control number of SOC2", id="a sentence"),
        pytest.param("  HARM: {SOC2", "  HARM: {SOX", "unknown framework", id="unknown framework"),
        pytest.param("  HARM: {", "  HURT: {", "no family of taxonomy small", id="unknown family"),
        pytest.param("HARM.Threat:", "HARM.Treat:", "no label of taxonomy small", id="unknown label"),
        pytest.param("none: [OTHER.Unknown]", "", "OTHER.Unknown is missing", id="label left out"),
        pytest.param("[OTHER.Unknown]", "[OTHER.Unknown, X.Y]", "no label", id="unknown in none"),
        pytest.param("[OTHER.Unknown]", "[OTHER.Unknown, HARM.Threat]", "leave one", id="both"),
        pytest.param("taxonomy: small", "taxonomy: large", "is not small", id="other taxonomy"),
        pytest.param("frameworks: {SOC2: 'CC[1-9]\\.\\d'", "frameworks: {SOC2: '('",
                     "regular expression", id="no pattern"),
    ],
)  # fmt: skip
def test_wrong_controls_are_refused_with_file_and_key(
    small: Taxonomy, tmp_path: Path, old: str, new: str, problem: str
) -> None:
    assert old in CONTROLS
    file = written(tmp_path, "controls.yaml", CONTROLS.replace(old, new))

    with pytest.raises(DefinitionInvalid, match=problem) as refused:
        load_frameworks(file, small)
    assert "controls.yaml" in str(refused.value)


def test_the_hash_follows_the_mapping_and_the_taxonomys_hash_does_not(
    small: Taxonomy, tmp_path: Path
) -> None:
    before = load_frameworks(written(tmp_path, "a.yaml", CONTROLS), small)
    after = load_frameworks(written(tmp_path, "b.yaml", CONTROLS.replace("CC7.4", "CC7.3")), small)

    assert before.hash != after.hash
    assert before.reference == f"small-controls@1+{before.hash}"


def test_every_shipped_label_is_mapped_to_at_least_one_framework_or_vague() -> None:
    for name, label in taxonomy().labels.items():
        assert any(frameworks().labels[name].values()) is not label.vague
    assert set(frameworks().forms) == {"SOC2", "ISO27001", "HIPAA"}


def test_a_shipped_taxonomy_has_the_shipped_controls_and_another_one_none(
    tmp_path: Path,
) -> None:
    shipped = load_definitions(MapperSettings().taxonomy, MapperSettings().detectors, None)
    own = load_definitions(written(tmp_path, "small.yaml", SMALL), tmp_path / "none", None)

    assert shipped.frameworks == frameworks()
    assert own.frameworks is None


def test_the_command_shows_controls_and_how_many_labels_each_framework_covers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["--taxonomy", str(written(tmp_path, "small.yaml", SMALL))]
    files += ["--file", str(written(tmp_path, "controls.yaml", CONTROLS))]

    assert mapped_controls.main(["show", *files, "--label", "HARM.Threat", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["labels"]
    assert mapped_controls.main(["coverage", *files, "--json"]) == 0
    covered = json.loads(capsys.readouterr().out)
    assert mapped_controls.main(["show", *files, "--label", "HARM.Nothing"]) == 1
    assert mapped_controls.main(["coverage", *files]) == 0

    assert shown == {"HARM.Threat": {"SOC2": ["CC7.4", "CC7.2"], "HIPAA": ["164.308"]}}
    assert (covered["labels"], covered["mapped"], covered["none"]) == (3, 2, [UNKNOWN])
    assert covered["by_framework"]["SOC2"]["controls"] == 2
    assert "HARM.Nothing" in capsys.readouterr().err
