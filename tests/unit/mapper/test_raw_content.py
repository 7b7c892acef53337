"""Free text of a detector that says labels is refused by gateway and worker alike; labels never are."""

from pathlib import Path

import pytest

from services.gateway.screen import Screen
from services.mapper.definitions.detectors import load_detector
from services.mapper.definitions.document import DefinitionInvalid
from tests.unit.mapper.shipped import mapper, request, taxonomy
from trimtab.contracts.errors import MessageTooLarge, RawContent
from trimtab.contracts.labels import (
    MAX_LABEL_CHARS,
    MAX_LABEL_WORDS,
    MAX_NEWLINES,
    MAX_RAW_CHARS,
    MAX_TOKEN_CHARS,
    check_labels,
    check_raw,
)
from trimtab.contracts.mapping import MAX_PARTS
from trimtab.contracts.pipeline import MapCall
from trimtab.telemetry.metrics import REGISTRY

RAW = [
    pytest.param("toxic " * (MAX_RAW_CHARS // 6 + 1), id="as long as a document"),
    pytest.param("one\ntwo\nthree\nfour", id="several lines"),
    pytest.param("QUJD" * (MAX_TOKEN_CHARS // 4 + 1), id="encoded data"),
]
SENTENCE = " ".join(["word"] * (MAX_LABEL_WORDS + 1))
SCREEN = Screen(64 * 1024, reject_raw=True, free_text=frozenset({"text"}))


def rejected(reason: str) -> float:
    name = "mapper_request_payload_rejected_total"
    return REGISTRY.get_sample_value(name, {"reason": reason}) or 0.0


def call(output: str, detector: str = "openai-moderation", taxonomy: str = "ai-safety") -> MapCall:
    return MapCall(output=output, detector=detector, taxonomy=taxonomy)


@pytest.mark.parametrize("output", RAW)
def test_what_looks_like_raw_content_is_refused_and_never_quoted(output: str) -> None:
    before = rejected("raw_content")

    for check in (check_raw, check_labels):
        with pytest.raises(RawContent) as refused:
            check("openai-moderation", output)
        assert output[:12] not in refused.value.detail
    with pytest.raises(RawContent):
        SCREEN.check(call(output))

    assert rejected("raw_content") == before + 1


@pytest.mark.parametrize("output", RAW)
def test_free_text_comes_in_where_it_was_agreed_on(output: str) -> None:
    SCREEN.check(call(output, "text"))
    Screen(64 * 1024, reject_raw=False, free_text=frozenset()).check(call(output))


@pytest.mark.parametrize(
    "output",
    [
        "",
        "hate/threatening",
        "Hate:4|SelfHarm_low",
        "x" * MAX_LABEL_CHARS,
        " ".join(["word"] * MAX_LABEL_WORDS),
        "\n" * MAX_NEWLINES,
        "|".join(f"label {number}" for number in range(MAX_PARTS)),
    ],
)
def test_labels_and_aggregates_of_them_come_in_up_to_their_limits(output: str) -> None:
    check_labels("openai-moderation", output)
    SCREEN.check(call(output))


@pytest.mark.parametrize("output", ["x" * (MAX_LABEL_CHARS + 1), SENTENCE, f"hate|{SENTENCE}"])
def test_a_sentence_is_no_label(output: str) -> None:
    check_raw("openai-moderation", output)

    with pytest.raises(RawContent):
        check_labels("openai-moderation", output)


def test_what_is_larger_than_the_policy_allows_is_refused_by_its_size_in_bytes() -> None:
    small = Screen(4096, reject_raw=True, free_text=frozenset({"text"}))
    before = rejected("oversize")
    small.check(call("ä" * 2000, "text"))

    with pytest.raises(MessageTooLarge):
        small.check(call("ä" * 2100, "text"))
    with pytest.raises(MessageTooLarge):
        small.check(call("hate", taxonomy="t" * 5000))

    assert rejected("oversize") == before + 2


@pytest.mark.parametrize(("said", "label_only"), [("", True), ("label_only: false\n", False)])
def test_a_detector_says_labels_unless_its_file_says_otherwise(
    tmp_path: Path, said: str, label_only: bool
) -> None:
    path = tmp_path / "mine.yaml"
    head = 'name: mine\nversion: "1"\nsource: here\nlabels: {toxic: HARM.SPEECH.Toxicity}\n'
    path.write_text(head + said)

    assert load_detector(path, taxonomy()).label_only is label_only
    path.write_text(f"{head}label_only: perhaps\n")
    with pytest.raises(DefinitionInvalid, match="true or false"):
        load_detector(path, taxonomy())


@pytest.mark.parametrize("output", [SENTENCE, "one\ntwo\nthree\nfour"])
def test_the_worker_refuses_by_itself_what_a_gateway_let_through(output: str) -> None:
    with pytest.raises(RawContent):
        mapper().map(request(output, "openai-moderation"))
    assert mapper().map(request(output, "text")).reply.taxonomy


def test_a_detector_that_nobody_declared_may_say_a_sentence_and_no_document() -> None:
    assert mapper().map(request(SENTENCE, "nobodys")).reply.taxonomy
    with pytest.raises(RawContent):
        mapper().map(request("one\ntwo\nthree\nfour", "nobodys"))
