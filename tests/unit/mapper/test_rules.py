import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mapper import rules
from services.mapper.definitions.names import normalise
from services.mapper.rules import Rule
from tests.unit.mapper.shipped import detectors, taxonomy
from trimtab.contracts.mapping import MAX_OUTPUT_CHARS, UNKNOWN

NAMES = sorted(detectors().by_name)
VENDOR_LABELS = [(name, label) for name in NAMES for label in detectors().by_name[name].exact]
KNOWN = sorted(
    {*taxonomy().by_name, *(normalise(label) for _, label in VENDOR_LABELS)}
    | {alias for name in NAMES for alias in detectors().by_name[name].aliases}
)

outputs = st.one_of(
    st.text(max_size=80),
    st.sampled_from(KNOWN),
    st.sampled_from([label for _, label in VENDOR_LABELS]),
    st.lists(st.sampled_from([*KNOWN, "not", "no", "4", ",", "x"]), max_size=6).map(" ".join),
)
sources = st.sampled_from([*NAMES, "text", "nobody-declared-it"])


def answer(output: str, name: str = "text") -> rules.RuleAnswer:
    return rules.apply(output, detectors().get(name), taxonomy())


@pytest.mark.parametrize(("name", "label"), VENDOR_LABELS)
def test_a_published_label_means_what_the_file_says(name: str, label: str) -> None:
    found = answer(label, name)

    assert found.labels == detectors().by_name[name].exact[label]
    assert (found.rule, found.certain, found.confidence) == (Rule.EXACT, True, 1.0)


@pytest.mark.parametrize(
    ("name", "output", "label", "rule"),
    [
        ("openai-moderation", "HATE_THREATENING", "HARM.SPEECH.HateThreat", Rule.NORMALISED),
        ("openai-moderation", "self harm", "SELF_HARM.General", Rule.NORMALISED),
        ("openai-moderation", "hate_threat", "HARM.SPEECH.HateThreat", Rule.ALIAS),
        ("llama-guard", "S10: Hate", "HARM.SPEECH.Hate", Rule.ALIAS),
        ("azure-content-safety", "SelfHarm:6", "SELF_HARM.General", Rule.SEVERITY),
        ("azure-content-safety", "hate and fairness severity 2", "HARM.SPEECH.Hate", Rule.SEVERITY),
        ("azure-content-safety", "Violence:0", "OTHER.Benign", Rule.SEVERITY),
        ("bedrock-guardrails", "{EMAIL}", "PRIVACY.CONTACT.Email", Rule.ALIAS),
        ("openai-moderation", "categories.sexual/minors", "SEXUAL.Minors", Rule.ALIAS),
        ("openai-moderation", "violence: false", "OTHER.Benign", Rule.SEVERITY),
        ("amazon-comprehend", "[SSN]", "PRIVACY.ID.NationalId", Rule.ALIAS),
        ("perspective", "INSULT_EXPERIMENTAL", "HARM.SPEECH.Insult", Rule.PATTERN),
        ("openai-moderation", "phishing", "SECURITY.Phishing", Rule.TAXONOMY),
        ("text", "hate speech", "HARM.SPEECH.Hate", Rule.TAXONOMY),
        ("nobody-declared-it", "HARM.SPEECH.Hate", "HARM.SPEECH.Hate", Rule.TAXONOMY),
    ],
)
def test_the_first_rule_that_knows_the_whole_name_answers(
    name: str, output: str, label: str, rule: Rule
) -> None:
    found = answer(output, name)

    assert (found.labels, found.rule) == ((label,), rule)


@pytest.mark.parametrize(
    "output",
    [
        "",
        " ",
        "not toxic",
        "toxicity is bad",
        "non-toxic",
        "hat",
        "hates",
        "whatever",
        "sexualsexual",
        "hate/threatening/hate",
        "therapist",
        "Hate:9",
        "S1S2",
        "unsafe and S1",
    ],
)
@pytest.mark.parametrize("name", [*NAMES, "text"])
def test_a_part_of_a_name_or_a_name_within_more_is_unknown(name: str, output: str) -> None:
    assert answer(output, name).labels == (UNKNOWN,)


@pytest.mark.parametrize(
    "output",
    ["not toxic", "no hate speech detected", "he's not a threat", "violence: not detected"],
)
def test_a_denied_name_is_unknown_for_certain(output: str) -> None:
    found = answer(output)

    assert (found.labels, found.denied, found.certain) == ((UNKNOWN,), True, True)


@pytest.mark.parametrize("output", ["non-violent crimes", "non consensual intimate imagery"])
def test_a_name_that_begins_like_a_denial_is_still_a_name(output: str) -> None:
    assert answer(output).rule is Rule.TAXONOMY


def test_several_codes_in_one_output_are_several_labels() -> None:
    found = answer("unsafe\nS1,S10", "llama-guard")

    assert found.labels == ("HARM.VIOLENCE.Crime", "HARM.SPEECH.Hate")
    assert found.rule is Rule.EXACT


def test_a_code_that_is_not_declared_makes_the_whole_uncertain() -> None:
    found = answer("unsafe\nS1,S99", "llama-guard")

    assert (found.labels, found.rule, found.confidence) == (
        ("HARM.VIOLENCE.Crime",),
        Rule.NONE,
        0.0,
    )


def test_a_vague_label_goes_when_a_named_one_is_there() -> None:
    labels = ("OTHER.Unspecified", "HARM.SPEECH.Hate", UNKNOWN, "HARM.SPEECH.Hate")

    assert rules.specific(labels, taxonomy()) == ("HARM.SPEECH.Hate",)
    assert rules.specific(("OTHER.Unspecified", UNKNOWN), taxonomy()) == ("OTHER.Unspecified",)
    assert rules.specific((), taxonomy()) == (UNKNOWN,)


def test_the_pattern_of_higher_priority_is_tried_first() -> None:
    for detector in detectors().by_name.values():
        priorities = [pattern.priority for pattern in detector.patterns]
        assert priorities == sorted(priorities, reverse=True)


def test_a_long_output_is_a_text_and_no_name() -> None:
    assert answer("hate " * (MAX_OUTPUT_CHARS // 5), "openai-moderation").rule is Rule.NONE


@given(output=outputs, name=sources)
def test_no_label_outside_the_taxonomy_comes_out(output: str, name: str) -> None:
    found = answer(output, name)

    assert found.labels
    assert set(found.labels) <= set(taxonomy().labels)
    assert UNKNOWN not in found.labels or found.labels == (UNKNOWN,)


@given(output=outputs, name=sources)
def test_what_is_not_a_whole_known_name_is_unknown(output: str, name: str) -> None:
    detector = detectors().get(name)
    # Without codes, severities and patterns, which have tests of their own, only whole names are left.
    if detector is not None and (detector.separators or detector.severity or detector.patterns):
        return
    declared = set(detector.normalised) | set(detector.aliases) if detector else set()

    found = answer(output, name)

    if found.labels != (UNKNOWN,):
        assert normalise(output) in declared | set(taxonomy().by_name)


@given(
    known=st.sampled_from(KNOWN),
    before=st.text(string.ascii_lowercase, max_size=6),
    after=st.text(string.ascii_lowercase, max_size=6),
    name=sources,
)
def test_letters_around_a_name_make_it_unknown_unless_that_is_a_name_too(
    known: str, before: str, after: str, name: str
) -> None:
    grown = f"{before}{known}{after}"

    if grown not in KNOWN and grown.split(" ")[-1] not in {"low", "medium", "high", "safe", "none"}:
        assert answer(grown, name).labels == (UNKNOWN,)


@given(
    output=st.sampled_from(KNOWN), name=sources, denial=st.sampled_from(["not", "no", "without"])
)
def test_a_denied_name_never_yields_its_label(output: str, name: str, denial: str) -> None:
    assert answer(f"{denial} {output}", name).labels == (UNKNOWN,)
