from collections import Counter, defaultdict
from pathlib import Path

import pytest

from services.mapper import rules
from services.mapper.definitions.document import DefinitionInvalid
from services.mapper.training.examples import Example, content_hash, read_examples, training_set
from tests.unit.mapper.shipped import detectors, examples, taxonomy, written
from trimtab.contracts.mapping import FREE_TEXT, UNKNOWN, parts_of


def test_several_hundred_examples_are_shipped_eight_or_more_per_label() -> None:
    free = Counter(e.labels[0] for e in examples() if e.detector == FREE_TEXT)

    assert len(examples()) >= 500
    assert set(free) == set(taxonomy().labels)
    assert min(free.values()) >= 8


def test_a_dozen_negatives_or_more_are_shipped_for_text_and_some_for_every_detector() -> None:
    negatives = Counter(e.detector for e in examples() if e.labels == (UNKNOWN,))

    assert negatives[FREE_TEXT] >= 12
    assert all(negatives[name] >= 3 for name in detectors().by_name)


def test_a_paraphrase_family_has_one_meaning() -> None:
    meanings = defaultdict(set)
    for example in examples():
        if example.detector == FREE_TEXT:
            meanings[example.group].add(example.labels)

    assert [group for group, labels in meanings.items() if len(labels) > 1] == []


def test_every_label_has_families_enough_for_splits() -> None:
    families = defaultdict(set)
    for example in examples():
        families[example.labels[0]].add(example.group)

    assert min(map(len, families.values())) >= 5


@pytest.mark.parametrize(
    "example",
    [e for e in examples() if e.detector != FREE_TEXT],
    ids=lambda e: e.id,
)
def test_what_a_vendors_detector_emits_is_mapped_by_rules_alone(example: Example) -> None:
    detector = detectors().by_name[example.detector]
    answers = [rules.apply(part, detector, taxonomy()) for part in parts_of(example.output)]

    found = rules.merge(answers, taxonomy()).labels

    assert set(found) == set(example.labels)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        pytest.param("{", "not JSON", id="no JSON"),
        pytest.param('["a"]', "needs id", id="no object"),
        pytest.param('{"id":"1","text":"a","group":"g"}', "needs id", id="no label"),
        pytest.param(
            '{"id":"1","text":"a","label":"HARM.SPEECH.Hate","labels":[],"group":"g"}',
            "needs id",
            id="label and labels",
        ),
        pytest.param(
            '{"id":"1","text":"a","label":"HARM.Nothing","group":"g"}',
            "no label",
            id="no such label",
        ),
        pytest.param(
            '{"id":"1","text":"a","labels":[],"group":"g"}', "non-empty list", id="no labels"
        ),
        pytest.param(
            '{"id":1,"text":"a","label":"HARM.SPEECH.Hate","group":"g"}', "id must be", id="id"
        ),
        pytest.param(
            '{"id":"1","text":"a","label":"HARM.SPEECH.Hate","group":" "}', "group must", id="group"
        ),
        pytest.param(
            '{"id":"1","text":"a","label":"HARM.SPEECH.Hate","group":"g","split":"x"}',
            "needs id",
            id="unknown key",
        ),
    ],
)
def test_a_wrong_row_is_refused_with_file_and_line(tmp_path: Path, row: str, problem: str) -> None:
    path = written(tmp_path, "rows.jsonl", f"\n{row}\n")

    with pytest.raises(DefinitionInvalid, match=rf"rows\.jsonl: line 2: .*{problem}"):
        read_examples(path, FREE_TEXT, taxonomy())


def test_only_words_with_one_meaning_teach() -> None:
    def example(detector: str, output: str, *labels: str) -> Example:
        return Example("1", detector, output, labels, "g")

    assert example("text", "vitamin S1 is sold out", UNKNOWN).teaches
    assert example("openai-moderation", "hate/threatening", "HARM.SPEECH.HateThreat").teaches
    assert not example("llama-guard", "unsafe\nS10", "HARM.SPEECH.Hate").teaches
    assert not example("openai-moderation", "hate|violence", "A.B", "C.D").teaches
    assert not example("openai-moderation", "", UNKNOWN).teaches


def test_the_same_words_from_two_detectors_teach_once() -> None:
    found = training_set(examples())

    assert len({(e.text.casefold(), e.labels) for e in found}) == len(found)


def test_the_content_hash_follows_every_row() -> None:
    first = examples()[0]
    other = Example(first.id, first.detector, first.output + "!", first.labels, first.group)

    assert content_hash((first,)) != content_hash((other,))
