from pathlib import Path

import pytest

from services.mapper.definitions.detectors import load_detector, load_detectors
from services.mapper.definitions.document import DefinitionInvalid
from services.mapper.definitions.patterns import PatternRefused, compile_pattern
from tests.unit.mapper.shipped import detectors, taxonomy, written

SMALL = """\
name: small
version: "1"
source: https://example.org/labels
labels: {hate: HARM.SPEECH.Hate, "Self-Harm": SELF_HARM.General}
aliases: {hatred: hate}
patterns: [{pattern: '^hate_v\\d$', label: hate, priority: 2}]
severity: {words: [level], levels: ["1"], none: ["0"], none_label: OTHER.Benign}
"""


def test_five_detectors_or_more_are_shipped_each_with_its_vendors_page() -> None:
    found = detectors().by_name

    assert len(found) >= 5
    assert all(detector.source.startswith("https://") for detector in found.values())


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        pytest.param(
            "openai-moderation",
            "harassment harassment/threatening hate hate/threatening illicit illicit/violent self-harm "
            "self-harm/intent self-harm/instructions sexual sexual/minors violence violence/graphic",
            id="openai-moderation",
        ),
        pytest.param("llama-guard", " ".join(f"S{n}" for n in range(1, 15)), id="llama-guard"),
        pytest.param(
            "perspective",
            "TOXICITY SEVERE_TOXICITY IDENTITY_ATTACK INSULT PROFANITY THREAT",
            id="perspective",
        ),
        pytest.param("azure-content-safety", "Hate SelfHarm Sexual Violence", id="azure"),
        pytest.param(
            "bedrock-guardrails",
            "INSULTS HATE SEXUAL VIOLENCE MISCONDUCT PROMPT_ATTACK US_SOCIAL_SECURITY_NUMBER EMAIL",
            id="bedrock-guardrails",
        ),
        pytest.param(
            "amazon-comprehend",
            "PROFANITY HATE_SPEECH INSULT GRAPHIC HARASSMENT_OR_ABUSE SEXUAL VIOLENCE_OR_THREAT SSN",
            id="amazon-comprehend",
        ),
    ],
)
def test_every_label_that_the_vendor_publishes_is_declared(name: str, labels: str) -> None:
    assert set(labels.split()) <= set(detectors().by_name[name].exact)


def test_every_declared_meaning_is_a_label_of_the_taxonomy() -> None:
    for detector in detectors().by_name.values():
        for labels in (*detector.exact.values(), *detector.aliases.values()):
            assert set(labels) <= set(taxonomy().labels)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        pytest.param("source:", "sauce:", "sauce: unknown key", id="unknown key"),
        pytest.param("name: small", "name: Small", "lower-case", id="malformed name"),
        pytest.param("HARM.SPEECH.Hate", "HARM.SPEECH.Love", "no label of taxonomy", id="no such label"),
        pytest.param('"Self-Harm"', "HATE", "another spelling", id="two meanings by spelling"),
        pytest.param("{hatred: hate}", "{hatred: love}", "none of this detector", id="alias of nothing"),
        pytest.param("{hatred: hate}", "{SelfHarm: hate}", "with another meaning", id="alias is a label"),
        pytest.param("label: hate,", "label: love,", "none of this detector", id="pattern of nothing"),
        pytest.param("'^hate_v", "'hate_v", "must start with", id="pattern not anchored"),
        pytest.param("priority: 2", "priority: first", "whole number", id="priority is a word"),
        pytest.param("prior", "prio", "unknown key", id="unknown key of a pattern"),
        pytest.param('none: ["0"]', 'none: ["1"]', "both keep", id="level with two meanings"),
        pytest.param("OTHER.Benign", "OTHER.Fine", "no label of taxonomy", id="no such none label"),
    ],
)  # fmt: skip
def test_a_wrong_detector_is_refused_with_file_and_key(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    assert old in SMALL
    path = written(tmp_path, "small.yaml", SMALL.replace(old, new))

    with pytest.raises(DefinitionInvalid, match=rf"small\.yaml.*{problem}"):
        load_detector(path, taxonomy())


def test_a_detector_is_called_like_its_file(tmp_path: Path) -> None:
    written(tmp_path, "other.yaml", SMALL)

    with pytest.raises(DefinitionInvalid, match=r"other\.yaml: name"):
        load_detectors(tmp_path, taxonomy())


def test_the_hash_of_the_set_follows_every_content(tmp_path: Path) -> None:
    written(tmp_path, "small.yaml", SMALL)
    before = load_detectors(tmp_path, taxonomy())
    written(tmp_path, "small.yaml", SMALL.replace("hatred", "loathing"))

    assert load_detectors(tmp_path, taxonomy()).hash != before.hash


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param("hate", id="no anchors"),
        pytest.param("^hate", id="no end"),
        pytest.param("^hate\\$", id="an escaped end"),
        pytest.param("^(a+)+$", id="nested repeat"),
        pytest.param("^(a|aa)*$", id="repeated group"),
        pytest.param("^(?:ab){2,}$", id="repeated group, counted"),
        pytest.param("^a*b*$", id="two unbounded repeats"),
        pytest.param("^a{1,}b+$", id="two unbounded repeats, counted"),
        pytest.param("^a{100}$", id="a long repeat"),
        pytest.param("^a**$", id="a repeat of a repeat"),
        pytest.param("^a(?=b)$", id="lookahead"),
        pytest.param("^(?i)a$", id="a flag"),
        pytest.param("^(a)\\1$", id="a back-reference"),
        pytest.param("^a$|^b$", id="anchors inside"),
        pytest.param("^[a$", id="an unclosed class"),
        pytest.param("^(a$", id="an unclosed group"),
    ],
)
def test_a_pattern_that_could_run_away_or_match_a_part_is_refused(expression: str) -> None:
    with pytest.raises(PatternRefused):
        compile_pattern(expression)


@pytest.mark.parametrize(
    ("expression", "matching", "other"),
    [
        ("^hate_v\\d{1,3}$", "hate_v12", "hate_v1234"),
        ("^(?:low|high)_risk$", "low_risk", "slow_risk"),
        ("^a|b$", "b", "ab"),
        ("^S(1[0-4]|[1-9])$", "S14", "S15"),
        ("^[]x]+$", "]x]", "y"),
        ("^v?\\.?x$", "v.x", "vv.x"),
    ],
)
def test_an_allowed_pattern_matches_whole_names(expression: str, matching: str, other: str) -> None:
    pattern = compile_pattern(expression)

    assert pattern.fullmatch(matching)
    assert not pattern.fullmatch(other)
    assert not pattern.fullmatch(f"x {matching}")
