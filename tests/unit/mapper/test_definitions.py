from pathlib import Path

import pytest

from services.mapper.definitions.document import DefinitionInvalid, read_section
from services.mapper.definitions.names import normalise
from tests.unit.mapper.shipped import written


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "twice.yaml", "a: {x: one}\nb: two\nb: three\n")

    with pytest.raises(DefinitionInvalid, match=r"twice\.yaml.*stands twice"):
        read_section(path)


def test_an_unknown_key_is_named_with_its_file_and_place(tmp_path: Path) -> None:
    section = read_section(written(tmp_path, "typo.yaml", "outer: {lables: {}}\n")).section("outer")

    with pytest.raises(DefinitionInvalid, match=r"typo\.yaml: outer\.lables: unknown key.*labels"):
        section.only("labels")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("- a\n- b\n", id="a list on top"),
        pytest.param("a: [unclosed\n", id="no YAML"),
        pytest.param("1: one\n", id="a key that is a number"),
        pytest.param("!!python/object/apply:os.system [ls]\n", id="a tag that would run code"),
    ],
)
def test_a_file_that_is_no_plain_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(DefinitionInvalid, match=r"wrong\.yaml"):
        read_section(written(tmp_path, "wrong.yaml", text))


def test_a_missing_file_is_a_definition_error(tmp_path: Path) -> None:
    with pytest.raises(DefinitionInvalid, match=r"absent\.yaml.*cannot be read"):
        read_section(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("reader", "text"),
    [
        ("text", "k: 3"),
        ("text", "k: ''"),
        ("texts", "k: [a, 3]"),
        ("texts", "k: {a: b}"),
        ("integer", "k: high"),
        ("integer", "k: yes"),
        ("flag", "k: maybe"),
        ("section", "k: [a]"),
        ("sections", "k: {a: b}"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(tmp_path: Path, reader: str, text: str) -> None:
    section = read_section(written(tmp_path, "kind.yaml", text))

    with pytest.raises(DefinitionInvalid, match=r"kind\.yaml: k"):
        getattr(section, reader)(*(("k", 0) if reader == "integer" else ("k",)))


@pytest.mark.parametrize(
    ("name", "even"),
    [
        ("SELF_HARM", "self harm"),
        ("self-harm", "self harm"),
        ("SelfHarm", "self harm"),
        ("hate/threatening", "hate threatening"),
        ("  Hate:4 ", "hate 4"),
        ("ＨＡＴＥ", "hate"),
        ("IPAddress", "ipaddress"),
        ("-_/ ", ""),
    ],
)
def test_spelling_does_not_matter(name: str, even: str) -> None:
    assert normalise(name) == even


def test_words_are_never_joined() -> None:
    assert normalise("the rapist") != normalise("therapist")
