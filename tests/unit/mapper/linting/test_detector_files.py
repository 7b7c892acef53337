"""Files of detectors: what the linter finds, with its line; what is repaired without judgement; how one begins."""

import json
from pathlib import Path

import numpy as np
import pytest

from services.mapper.definitions.detectors import load_detector
from services.mapper.definitions.taxonomy import Taxonomy
from services.mapper.linting import command, scaffold
from services.mapper.linting.lint import REVIEW, lint
from services.mapper.linting.patterns import written_out
from services.mapper.linting.repair import repaired
from services.mapper.model.network import Array
from services.mapper.settings import MapperSettings
from tests.unit.mapper.shipped import taxonomy

SHIPPED = sorted(MapperSettings().detectors.glob("*.yaml"))

GOOD = """\
# A vendor's labels.
name: vendor
version: "1"
source: https://example.org/labels
labels:
  hate: HARM.SPEECH.Hate  # its own word
  threat: [HARM.SPEECH.Threat, HARM.VIOLENCE.General]
  safe: OTHER.Benign
aliases:
  hateful words: hate
patterns:
  - {pattern: '^hate_v[0-9]$', label: hate, priority: 1}
severity:
  words: [level]
  levels: [low, high]
  none: ["0"]
  none_label: OTHER.Benign
"""


def codes(text: str) -> list[tuple[int, str]]:
    return [(found.line, found.code) for found in lint(text, "vendor.yaml", taxonomy())]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_detector_is_clean_and_needs_no_repair(path: Path) -> None:
    text = path.read_text()

    assert [found.text() for found in lint(text, path.name, taxonomy())] == []
    assert repaired(text, path.name, taxonomy()) == text


def test_a_good_file_has_no_finding() -> None:
    assert codes(GOOD) == []


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ("HARM.SPEECH.Hate ", "HARM.SPEECH.Hatred ", (6, "unknown-label")),
        ("HARM.VIOLENCE.General]", "HARM.Fighting]", (7, "unknown-label")),
        ("none_label: OTHER.Benign", "none_label: Nothing", (13, "unknown-label")),
        ("HARM.SPEECH.Hate ", "hate-speech ", (6, "obsolete-label")),
        ("  safe:", "  HATE: OTHER.Benign\n  safe:", (8, "conflicting-label")),
        ("  safe:", "  HATE: HARM.SPEECH.Hate\n  safe:", (8, "duplicate-label")),
        ("  safe:", "  hate: HARM.SPEECH.Hate\n  safe:", (8, "repeated-key")),
        ("  safe:", "  hate|threat: OTHER.Benign\n  safe:", (8, "unreachable")),
        ("  safe:", "  '--': OTHER.Benign\n  safe:", (8, "unreachable")),
        ("patterns:", "  hateful-words: hate\npatterns:", (11, "duplicate-alias")),
        ("patterns:", "  hateful-words: threat\npatterns:", (11, "conflicting-alias")),
        ("hateful words: hate", "HATE: hate", (10, "duplicate-alias")),
        ("hateful words: hate", "HATE: threat", (10, "conflicting-alias")),
        ("hateful words: hate", "hateful words: heat", (10, "alias-of-nothing")),
        ("label: hate,", "label: heat,", (12, "pattern-of-nothing")),
        ("'^hate_v[0-9]$'", "'^(hate'", (12, "bad-pattern")),
        ("'^hate_v[0-9]$'", "'^.*hate$'", (12, "loose-pattern")),
        ("'^hate_v[0-9]$'", "'^[a-z_]*hate$'", (12, "loose-pattern")),
        ("'^hate_v[0-9]$'", "'^not hate$'", (12, "loose-pattern")),
        ("'^hate_v[0-9]$'", "'^(hate|threat)$'", (12, "unreachable")),
        ('  none: ["0"]\n', "", (13, "missing-severity")),
        ('none: ["0"]', "none: [low]", (13, "conflicting-level")),
        ('version: "1"\n', "", (1, "missing-version")),
        ("source: https://example.org/labels\n", "", (1, "missing-source")),
        ("name: vendor", "name: seller", (2, "name")),
        ("labels:", "lables: {}\nlabels:", (5, "unknown-key")),
        ("# its own word", "# review: cosine 0.4", (6, "unreviewed")),
        ("labels:\n", "labels: [\n", (7, "unreadable")),
    ],
)
def test_each_fault_is_found_in_its_line(before: str, after: str, found: tuple[int, str]) -> None:
    assert before in GOOD

    assert found in codes(GOOD.replace(before, after, 1))


def test_everything_is_found_at_once_in_the_order_of_the_lines() -> None:
    broken = GOOD.replace('version: "1"\n', "").replace("HARM.SPEECH.Hate ", "Nothing ")
    broken = broken.replace("label: hate,", "label: heat,")

    assert codes(broken) == [
        (1, "missing-version"),
        (5, "unknown-label"),
        (11, "pattern-of-nothing"),
    ]


def test_a_pattern_that_stands_twice_can_only_answer_once() -> None:
    twice = GOOD.replace(
        "severity:", "  - {pattern: '^hate_v[0-9]$', label: threat, priority: 0}\nseverity:"
    )

    assert codes(twice) == [(13, "unreachable")]


def test_names_that_grade_one_label_ask_for_a_severity() -> None:
    graded = GOOD.split("severity:")[0].replace(
        "  safe:",
        "  gore low: HARM.VIOLENCE.Graphic\n  gore high: HARM.VIOLENCE.Graphic\n"
        "  gore none: OTHER.Benign\n  safe:",
    )

    assert codes(graded) == [(8, "missing-severity")]


def test_keys_out_of_their_order_are_one_finding() -> None:
    head, tail = GOOD.split("aliases:")
    mixed = head.replace("labels:", "aliases:\n  hateful words: hate\nlabels:", 1)
    mixed += "patterns:" + tail.split("patterns:")[1]

    assert codes(mixed) == [(5, "order")]


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("^A_(X|Y)$", ["A_X", "A_Y"]),
        (r"^\{NAME\}$", ["{NAME}"]),
        ("^plain$", ["plain"]),
        ("^A[0-9]$", []),
        ("^A.$", []),
        ("^A+$", []),
    ],
)
def test_a_pattern_of_letters_and_one_choice_is_written_out(
    expression: str, names: list[str]
) -> None:
    assert written_out(expression) == names


def test_repairs_remove_repeats_rename_and_order_and_keep_comments_and_meaning(
    tmp_path: Path,
) -> None:
    messy = """\
# A vendor's labels.
name: vendor
source: https://example.org/labels
# The author's.
version: "1"
severity:
  levels: [low, high]
  none: ["0"]
  none_label: OTHER.Benign
labels:
  hate: hate-speech  # its own word
  HATE: hate-speech
  threat: [threats, HARM.VIOLENCE.General]
# What people write.
aliases:
  Threat: threat
  hateful words: hate
  hateful-words: hate
"""
    wanted = """\
# A vendor's labels.
name: vendor
# The author's.
version: "1"
source: https://example.org/labels
labels:
  hate: HARM.SPEECH.Hate  # its own word
  threat: [HARM.SPEECH.Threat, HARM.VIOLENCE.General]
# What people write.
aliases:
  hateful words: hate
severity:
  levels: [low, high]
  none: ["0"]
  none_label: OTHER.Benign
"""

    found = repaired(messy, "vendor.yaml", taxonomy())
    (tmp_path / "vendor.yaml").write_text(found)

    assert found == wanted
    assert codes(found) == []
    assert repaired(found, "vendor.yaml", taxonomy()) == found
    assert load_detector(tmp_path / "vendor.yaml", taxonomy()).exact["threat"] == (
        "HARM.SPEECH.Threat",
        "HARM.VIOLENCE.General",
    )


def test_what_needs_judgement_is_left_as_it_is() -> None:
    conflict = GOOD.replace("  safe:", "  HATE: OTHER.Benign\n  safe:")

    assert repaired(conflict, "vendor.yaml", taxonomy()) == conflict


def test_a_name_whose_meaning_stands_below_it_is_not_cut_from_it() -> None:
    below = GOOD.replace("  safe:", "  HATE:\n    - HARM.SPEECH.Hate\n  safe:")

    assert repaired(below, "vendor.yaml", taxonomy()) == below


def test_the_commands_end_with_one_while_something_is_wrong_and_a_dry_run_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "vendor.yaml"
    broken = GOOD.replace("HARM.SPEECH.Hate ", "hate-speech ")
    file.write_text(broken)

    linted = command.main(["lint", str(file)])
    said = capsys.readouterr().out
    tried = command.main(["fix", "--dry-run", str(file)])
    shown = capsys.readouterr().out
    untouched = file.read_text()
    fixed = command.main(["fix", str(file), "--json"])
    told = json.loads(capsys.readouterr().out)

    assert (linted, tried, fixed) == (1, 0, 0)
    assert f"{file}:6: obsolete-label: hate-speech is called HARM.SPEECH.Hate" in said
    assert "-  hate: hate-speech " in shown
    assert "+  hate: HARM.SPEECH.Hate " in shown
    assert untouched == broken
    assert (file.read_text(), told["changed"]) == (GOOD, [str(file)])
    assert command.main(["lint", str(file)]) == 0


def shifted(names: int, labels: Taxonomy, nearest: list[str]) -> Array:
    """Return unit vectors with which each name stands at one label's description."""
    every = list(labels.labels)
    descriptions = np.eye(len(every), dtype=np.float32)
    rows = [descriptions[every.index(label)] for label in nearest]
    assert len(rows) == names
    return np.concatenate([np.stack(rows), descriptions])


def test_a_new_detector_begins_with_suggestions_that_the_linter_refuses_until_reviewed(
    tmp_path: Path,
) -> None:
    names = ["Phishing", "blood & guts", "yes", "pii.ssn"]
    found = scaffold.known(names, taxonomy())
    rest = [name for name in names if name not in found]
    near = ["HARM.VIOLENCE.Graphic", "OTHER.Unknown", "PRIVACY.ID.NationalId"]
    found |= scaffold.nearest(rest, shifted(len(rest), taxonomy(), near), taxonomy())
    text = scaffold.document(
        "vendor", "1", "https://example.org/labels", [found[name] for name in names]
    )
    file = tmp_path / "vendor.yaml"
    file.write_text(text)

    labels = load_detector(file, taxonomy()).exact
    assert set(labels) == set(names)
    assert labels["Phishing"] == ("SECURITY.Phishing",)
    assert labels["blood & guts"] == ("HARM.VIOLENCE.Graphic",)
    assert labels["yes"] != ("OTHER.Unknown",)
    assert [code for _, code in codes(text)] == ["unreviewed"] * 4
    reviewed = "".join(line.partition(REVIEW)[0].rstrip() + "\n" for line in text.splitlines())
    assert codes(reviewed) == []


def test_a_detector_of_known_names_needs_no_encoder_and_never_overwrites_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["add", "vendor", "toxicity", "self-harm", "--source", "https://example.org"]
    words += ["--out", str(tmp_path), "--json"]

    first = command.main(words)
    told = json.loads(capsys.readouterr().out)
    second = command.main(words)
    error = json.loads(capsys.readouterr().out)["error"]

    assert (first, second) == (0, 1)
    assert [each["label"] for each in told["suggestions"]] == [
        "HARM.SPEECH.Toxicity",
        "SELF_HARM.General",
    ]
    assert "is there already" in error["problem"]
