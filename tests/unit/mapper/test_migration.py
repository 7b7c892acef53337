"""Migrating a taxonomy: every label has one fate, what can be taken back comes back as it was."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from services.mapper.definitions.document import DefinitionInvalid
from services.mapper.definitions.frameworks import Frameworks, load_frameworks
from services.mapper.definitions.taxonomy import Label, Taxonomy, load_taxonomy
from services.mapper.migration.__main__ import main
from services.mapper.migration.drafting import difference, draft, likely_renames
from services.mapper.migration.moving import (
    moved_cases,
    moved_controls,
    moved_detector,
    moved_examples,
)
from services.mapper.migration.plan import End, LossyPlan, Plan, Split, check, inverted
from tests.unit.mapper.shipped import frameworks, taxonomy, written
from trimtab.contracts.mapping import UNKNOWN

OLD = ("A.One", "A.Two", "B.Three", "B.Four", UNKNOWN)


def taxonomy_of(labels: Sequence[str], version: str = "1") -> Taxonomy:
    """A taxonomy of labels that nothing but their names tells apart."""
    made = {name: Label(name, f"What {name} is.", (), vague=name == UNKNOWN) for name in labels}
    digest = f"{abs(hash(tuple(labels))):012x}"[-12:]
    return Taxonomy("small", version, made, {}, digest)


def plan_of(old: Taxonomy, new: Taxonomy, **fates: Any) -> Plan:
    before, after = (End(version=t.version, hash=t.hash) for t in (old, new))
    return Plan(taxonomy="small", before=before, after=after, **fates)


DETECTOR = """\
# A detector of two vendors' worth.
name: acme
version: "1"
source: https://example.org
labels:
  one: A.One
  both: [A.One, A.Two]
  three: B.Three
severity: {words: [], levels: [high], none: [low], none_label: B.Four}
"""
ROWS = [
    {"id": "1", "text": "eins", "label": "A.One", "group": "g"},
    {"id": "2", "text": "zwei", "labels": ["A.Two", "B.Three"], "group": "g"},
    {"id": "3", "text": "vier", "label": "B.Four", "group": "g"},
    {"id": "4", "output": "A.One", "expected": ["B.Three", "A.One"]},
]
EXAMPLES = "".join(f"{json.dumps(row)}\n" for row in ROWS)
CONTROLS = Frameworks(
    "small-controls",
    "1",
    {"SOC2": "CC.*"},
    {
        "A.One": {"SOC2": ("CC7.2",)},
        "A.Two": {"SOC2": ("CC7.4", "CC7.2")},
        "B.Three": {"SOC2": ("CC6.1",)},
        "B.Four": {},
        UNKNOWN: {},
    },
    "0" * 12,
)


def test_a_rename_a_merge_a_split_and_a_removal_do_as_they_say() -> None:
    old = taxonomy_of(OLD)
    new = taxonomy_of(("A.Uno", "C.Big", "C.Small", UNKNOWN), "2")
    plan = plan_of(
        old,
        new,
        renames={"A.One": "A.Uno"},
        splits={"B.Three": Split(into=["C.Big", "C.Small"], default="C.Big")},
        removals=["A.Two", "B.Four"],
    )
    check(plan, old, new)

    detector = moved_detector(DETECTOR, plan)
    examples, cases = moved_examples(EXAMPLES, plan), moved_cases(EXAMPLES, plan)

    told = yaml.safe_load(detector.text)
    assert told["labels"] == {"one": "A.Uno", "both": ["A.Uno", UNKNOWN], "three": "C.Big"}
    assert told["severity"]["none_label"] == UNKNOWN
    assert "# A detector of two vendors' worth." in detector.text
    assert (detector.changed, detector.decide) == (5, ["three: C.Big"])
    kept = [json.loads(line) for line in examples.text.splitlines()]
    assert [row["id"] for row in kept] == ["1", "4"]
    assert (examples.changed, examples.dropped) == (2, 2)
    expected = [json.loads(line) for line in cases.text.splitlines()]
    assert expected[1]["labels"] == [UNKNOWN, "C.Big"]
    assert expected[3] == {"id": "4", "output": "A.One", "expected": ["C.Big", "A.Uno"]}
    assert list(cases.decide) == ["2: C.Big", "4: C.Big"]


def test_labels_that_were_merged_stand_once_and_bear_on_what_any_of_them_did() -> None:
    old, new = taxonomy_of(OLD), taxonomy_of(("A.All", "B.Three", "B.Four", UNKNOWN), "2")
    plan = plan_of(old, new, merges={"A.All": ["A.One", "A.Two"]})
    check(plan, old, new)

    labels = yaml.safe_load(moved_detector(DETECTOR, plan).text)["labels"]
    controls = yaml.safe_load(moved_controls(CONTROLS, plan, list(new.labels)).text)

    assert labels == {"one": "A.All", "both": "A.All", "three": "B.Three"}
    assert controls["labels"]["A.All"] == {"SOC2": ["CC7.2", "CC7.4"]}
    assert controls["none"] == ["B.Four", UNKNOWN]


def test_a_label_may_take_another_one_in_and_keep_its_name() -> None:
    old, new = taxonomy_of(OLD), taxonomy_of(("A.One", "B.Three", "B.Four", UNKNOWN), "2")
    plan = plan_of(old, new, merges={"A.One": ["A.One", "A.Two"]})

    check(plan, old, new)

    assert plan.moves() == {"A.Two": "A.One"}


@pytest.mark.parametrize(
    ("fates", "problem"),
    [
        pytest.param({}, "A.Two: is gone", id="no fate"),
        pytest.param({"removals": ["A.Two"]}, "A.New: is new", id="no origin"),
        pytest.param({"renames": {"A.Two": "A.New"}, "removals": ["A.Two"]}, "more than one fate",
                     id="two fates"),
        pytest.param({"renames": {"A.Two": "A.One"}, "additions": ["A.New"]},
                     "A.One: comes from more than one", id="two origins"),
        pytest.param({"renames": {"A.Too": "A.New"}}, "A.Too: is no label", id="unknown label"),
        pytest.param({"renames": {"A.Two": "A.Nu"}}, "A.Nu: is no label", id="unknown new label"),
        pytest.param({"renames": {"A.Two": "A.New"}, "removals": [UNKNOWN]}, "cannot be moved",
                     id="unknown moved"),
        pytest.param({"splits": {"A.Two": Split(into=["A.New", "B.Four"], default="A.One")}},
                     "B.Four: comes from more than one", id="split into a kept one"),
    ],
)  # fmt: skip
def test_a_plan_that_does_not_fit_is_refused_with_the_label(
    fates: dict[str, Any], problem: str
) -> None:
    old, new = taxonomy_of(OLD), taxonomy_of(("A.One", "A.New", "B.Three", "B.Four", UNKNOWN), "2")

    with pytest.raises(DefinitionInvalid, match=problem):
        check(plan_of(old, new, **fates), old, new)


def test_a_plan_of_other_content_is_refused() -> None:
    old, new = taxonomy_of(OLD), taxonomy_of(OLD[1:], "2")
    plan = plan_of(old, new, removals=["A.One"])

    check(plan, old, new)
    with pytest.raises(DefinitionInvalid, match="make the plan again"):
        check(plan, new, old)


def test_what_joins_or_drops_labels_cannot_be_inverted_and_says_which_ones() -> None:
    old, new = taxonomy_of(OLD), taxonomy_of(("A.All", "B.Three", UNKNOWN), "2")
    plan = plan_of(old, new, merges={"A.All": ["A.One", "A.Two"]}, removals=["B.Four"])
    check(plan, old, new)

    with pytest.raises(LossyPlan, match=r"A\.One \(merged into A\.All\)") as refused:
        inverted(plan)
    assert set(refused.value.losing) == {"A.One", "A.Two", "B.Four"}


LABELS = [f"{family}.L{n}" for family in "AB" for n in range(4)]


@st.composite
def lossless(draw: st.DrawFn) -> tuple[Taxonomy, Taxonomy, Plan]:
    """Any plan of renames, splits, additions and kept labels over eight labels, names reused freely."""
    fates = {label: draw(st.sampled_from(["keep", "rename", "split"])) for label in LABELS}
    moved = [label for label in LABELS if fates[label] != "keep"]
    # Names of moved labels may be taken by others: two may change places.
    names = draw(st.permutations([*moved, *(f"C.N{n}" for n in range(2 * len(LABELS)))]))
    pool = iter(names)
    renames: dict[str, str] = {}
    splits: dict[str, Split] = {}
    for label in moved:
        if fates[label] == "rename":
            new = next(name for name in pool if name != label)
            renames[label] = new
        else:
            into = [next(pool), next(pool)]
            splits[label] = Split(into=into, default=into[0])
    added = draw(st.lists(st.sampled_from(["D.X", "D.Y"]), unique=True))
    after = [label for label in LABELS if fates[label] == "keep"]
    after += [*renames.values(), *(new for each in splits.values() for new in each.into), *added]
    old, new_taxonomy = taxonomy_of([*LABELS, UNKNOWN]), taxonomy_of([*after, UNKNOWN], "2")
    plan = plan_of(old, new_taxonomy, renames=renames, splits=splits, additions=added)
    return old, new_taxonomy, plan


@given(lossless(), st.lists(st.lists(st.sampled_from(LABELS), min_size=1, unique=True), min_size=1))
def test_a_lossless_plan_and_its_inverse_leave_every_file_as_it_was(
    made: tuple[Taxonomy, Taxonomy, Plan], meanings: list[list[str]]
) -> None:
    old, new, plan = made
    check(plan, old, new)
    back = inverted(plan)
    check(back, new, old)
    detector = yaml.safe_dump(
        {"name": "acme", "labels": {f"v{n}": meant for n, meant in enumerate(meanings)}}
    )
    rows = "".join(
        f"{json.dumps({'id': str(n), 'text': 'x', 'labels': meant, 'group': 'g'})}\n"
        for n, meant in enumerate(meanings)
    )

    again = moved_detector(moved_detector(detector, plan).text, back)
    examples = moved_examples(moved_examples(rows, plan).text, back)
    cases = moved_cases(moved_cases(rows, plan).text, back)

    assert yaml.safe_load(again.text) == yaml.safe_load(detector)
    assert examples.text == rows
    assert cases.text == rows
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan


@given(lossless())
def test_controls_come_back_with_the_inverse_of_a_lossless_plan(
    made: tuple[Taxonomy, Taxonomy, Plan],
) -> None:
    _, new, plan = made
    told = {label: {"SOC2": (f"CC{n + 1}.1",)} for n, label in enumerate(LABELS)}
    before = Frameworks("c", "1", {"SOC2": ".*"}, {**told, UNKNOWN: {}}, "0" * 12)
    moved = yaml.safe_load(moved_controls(before, plan, list(new.labels)).text)
    there = {label: {k: tuple(v) for k, v in c.items()} for label, c in moved["labels"].items()}
    after = Frameworks("c", "1", {"SOC2": ".*"}, {**there, UNKNOWN: {}}, "1" * 12)

    back = moved_controls(after, inverted(plan), [*LABELS, UNKNOWN])

    assert yaml.safe_load(back.text)["labels"] == {
        label: {"SOC2": list(controls["SOC2"])} for label, controls in told.items()
    }


def next_version(folder: Path) -> Path:
    """The shipped taxonomy with one label renamed and one added."""
    text = (Path("services/mapper/taxonomies") / "ai-safety.yaml").read_text()
    text = text.replace("HARM.SPEECH.Profanity:", "HARM.SPEECH.Swearing:")
    text = text.replace("  SEXUAL:\n", "      HARM.SPEECH.Mockery:\n        description: Ridicule of people for fun.\n  SEXUAL:\n", 1)  # fmt: skip
    return written(folder, "next.yaml", text.replace('version: "1"', 'version: "2"'))


def content(path: Path) -> Any:
    """What a YAML or JSON lines file says."""
    text = path.read_text()
    return yaml.safe_load(text) if path.suffix == ".yaml" else [*map(json.loads, text.splitlines())]


def test_a_difference_names_what_is_gone_and_new_and_a_likely_rename(tmp_path: Path) -> None:
    after = load_taxonomy(next_version(tmp_path))

    told = difference(taxonomy(), after)

    assert told["gone"] == ["HARM.SPEECH.Profanity"]
    assert told["new"] == ["HARM.SPEECH.Swearing", "HARM.SPEECH.Mockery"]
    assert told["likely_renames"] == {"HARM.SPEECH.Profanity": "HARM.SPEECH.Swearing"}
    assert likely_renames(taxonomy(), taxonomy()) == {}
    assert draft(taxonomy(), after).additions == ["HARM.SPEECH.Mockery"]


def test_the_shipped_files_are_migrated_there_and_back_by_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Path("services/mapper")
    old, new = str(home / "taxonomies" / "ai-safety.yaml"), str(next_version(tmp_path))
    forward, back = str(tmp_path / "plan.json"), str(tmp_path / "back.json")
    files = ["detectors", "examples", "golden"]

    assert main(["plan", old, new, "--out", forward, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["additions"] == ["HARM.SPEECH.Mockery"]
    words = [word for name in files for word in (f"--{name}", str(home / name))]
    words += ["--frameworks", str(home / "frameworks" / "ai-safety.yaml")]
    assert main(["apply", forward, old, new, *words, "--json"]) == 0
    dry = json.loads(capsys.readouterr().out)
    assert (dry["written"], dry["changed"] > 5) == ([], True)

    assert main(["apply", forward, old, new, *words, "--out", str(tmp_path / "there")]) == 0
    assert "HARM.SPEECH.Mockery: no controls yet" in capsys.readouterr().out
    assert main(["invert", forward, "--out", back]) == 0
    there = [word for name in files for word in (f"--{name}", str(tmp_path / "there" / name))]
    assert main(["apply", back, new, old, *there, "--out", str(tmp_path / "here")]) == 0
    for name in files:
        for path in sorted((home / name).glob("*.[yj]*")):
            assert content(tmp_path / "here" / name / path.name) == content(path)
            there_text = (tmp_path / "there" / name / path.name).read_text()
            assert "HARM.SPEECH.Profanity" not in there_text

    controls = tmp_path / "there" / "frameworks" / "ai-safety.yaml"
    with pytest.raises(DefinitionInvalid, match=r"HARM\.SPEECH\.Mockery is missing"):
        load_frameworks(controls, load_taxonomy(Path(new)))
    decided = controls.read_text().replace("none:\n", "none:\n- HARM.SPEECH.Mockery\n")
    found = load_frameworks(written(tmp_path, "decided.yaml", decided), load_taxonomy(Path(new)))
    assert found.labels["HARM.SPEECH.Swearing"] == frameworks().labels["HARM.SPEECH.Profanity"]


def test_a_lossy_plan_is_refused_by_the_command_with_its_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = "services/mapper/taxonomies/ai-safety.yaml"
    text = Path(old).read_text()
    start, end = text.index("      ADVICE.Legal:"), text.index("      ADVICE.Financial:")
    new = str(written(tmp_path, "less.yaml", text[:start] + text[end:]))
    plan = str(tmp_path / "plan.json")

    assert main(["plan", old, new, "--out", plan]) == 1
    assert "ADVICE.Legal: is gone" in capsys.readouterr().err
    assert main(["plan", old, new, "--remove", "ADVICE.Legal", "--out", plan]) == 0
    assert main(["invert", plan, "--json"]) == 1
    assert "ADVICE.Legal (removed)" in capsys.readouterr().err
