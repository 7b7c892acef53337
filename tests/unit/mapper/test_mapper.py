from dataclasses import replace

import numpy as np
import pytest

from services.mapper.engines.guard import Terms
from services.mapper.mapper import NO_ADAPTER
from services.mapper.model.component import Component
from tests.unit.mapper.shipped import (
    component,
    detectors,
    frameworks,
    mapper,
    request,
    taxonomy,
)
from trimtab.contracts.errors import (
    DeadlineExceeded,
    DimensionMismatch,
    InvalidMessage,
    UnknownFramework,
    UnknownTaxonomy,
)
from trimtab.contracts.mapping import MAX_PARTS, UNKNOWN, FallbackReason, MappingMode
from trimtab.contracts.tensor import Matrix

TEXT = "you are an idiot"


class Raising:
    """A model whose arithmetic fails."""

    def answer(self, vectors: object, texts: object) -> list[tuple[str, float]]:
        raise ZeroDivisionError("the text is secret")


def broken(component: Component) -> Component:
    return replace(component, adapter=Raising())  # type: ignore[arg-type]


def test_a_vendors_label_is_mapped_for_certain_by_its_rule_without_the_model() -> None:
    mapped = mapper(component()).map(request("hate/threatening", "openai-moderation"))

    reply = mapped.reply
    assert reply.taxonomy == ["HARM.SPEECH.HateThreat"]
    assert (reply.confidence, reply.decided_by, reply.fallback_reason) == (1.0, "rules", None)
    assert reply.controls["SOC2"] == ["CC7.2"]
    assert mapped.model_calls == 0


def test_free_text_is_mapped_by_the_model() -> None:
    mapped = mapper(component()).map(request(TEXT))

    reply = mapped.reply
    assert reply.taxonomy == ["HARM.SPEECH.Insult"]
    assert (reply.decided_by, reply.fallback_reason) == ("model", None)
    assert 0.6 <= reply.confidence <= 1.0
    assert reply.scores == {"HARM.SPEECH.Insult": reply.confidence}
    assert (mapped.model_calls, mapped.valid, mapped.invalid) == (1, 1, 0)


@pytest.mark.parametrize("output", ["", "not toxic", " | "])
@pytest.mark.parametrize("detector", ["openai-moderation", "text", "acme"])
def test_nothing_said_is_unknown(output: str, detector: str) -> None:
    reply = mapper(component()).map(request(output, detector)).reply

    assert (reply.taxonomy, reply.decided_by, reply.confidence) == ([UNKNOWN], "unknown", 0.0)


def test_the_switch_keeps_the_model_out_of_everything() -> None:
    mapped = mapper(component()).map(request(TEXT, mode=MappingMode.RULES_ONLY))

    assert mapped.model_calls == 0
    assert mapped.reply.mode is MappingMode.RULES_ONLY
    assert mapped.reply.fallback_reason is FallbackReason.KILL_SWITCH


def test_a_requests_own_threshold_goes_before_the_workers() -> None:
    wary = mapper(component(), threshold=0.9)

    assert wary.map(request(TEXT, threshold=0.0)).reply.decided_by == "model"
    strict = wary.map(request(TEXT, threshold=1.0)).reply
    assert strict.fallback_reason is FallbackReason.LOW_CONFIDENCE


def test_without_a_model_the_rules_answer_and_the_versions_say_so() -> None:
    alone = mapper(None)

    known = alone.map(request("toxicity")).reply
    unknown = alone.map(request(TEXT)).reply

    assert known.taxonomy == ["HARM.SPEECH.Toxicity"]
    assert unknown.taxonomy == [UNKNOWN]
    assert known.fallback_reason is unknown.fallback_reason is FallbackReason.MODEL_ERROR
    assert known.versions["adapter"] == NO_ADAPTER


def test_the_reason_why_there_are_no_vectors_is_the_requests() -> None:
    late = request(TEXT, vectors=None, fallback=FallbackReason.TIMEOUT)

    mapped = mapper(component()).map(late)

    assert mapped.reply.fallback_reason is FallbackReason.TIMEOUT
    assert mapped.model_calls == 0


async def test_a_late_encoder_is_an_error_where_the_policy_says_so() -> None:
    late = request(TEXT, vectors=None, fallback=FallbackReason.TIMEOUT)
    away = request(TEXT, vectors=None, fallback=FallbackReason.MODEL_ERROR)
    strict = Terms(remaining_s=1.0, fail_on_timeout=True)

    with pytest.raises(DeadlineExceeded):
        await mapper(component()).answer(late, strict)
    mapped = await mapper(component()).answer(away, strict)

    assert mapped.reply.fallback_reason is FallbackReason.MODEL_ERROR


def test_a_model_that_raises_costs_the_answer_nothing_but_its_model(
    capsys: pytest.CaptureFixture[str],
) -> None:
    mapped = mapper(broken(component())).map(request("toxicity"))

    assert mapped.reply.taxonomy == ["HARM.SPEECH.Toxicity"]
    assert mapped.reply.fallback_reason is FallbackReason.MODEL_ERROR
    assert mapped.model_calls == 1
    assert "model_failed" in capsys.readouterr().out


def test_numbers_that_are_no_numbers_are_invalid_output() -> None:
    vectors = Matrix.of(np.full((1, 384), np.nan, dtype=np.float32))

    mapped = mapper(component()).map(request("anything at all", vectors=vectors))

    assert mapped.reply.fallback_reason is FallbackReason.INVALID_OUTPUT
    assert (mapped.valid, mapped.invalid, mapped.retries) == (0, 2, 1)


def test_an_undeclared_detectors_label_is_tried_by_the_model() -> None:
    mapped = mapper(component()).map(request("personal insult", "acme"))

    assert mapped.reply.taxonomy == ["HARM.SPEECH.Insult"]
    assert mapped.reply.decided_by == "model"
    assert mapped.detector == "other"


@pytest.mark.parametrize(
    ("wanted", "named"),
    [(None, {"SOC2", "ISO27001", "HIPAA"}), (["HIPAA"], {"HIPAA"}), ([], set())],
)
def test_the_controls_of_the_frameworks_that_a_request_asks_for_are_named(
    wanted: list[str] | None, named: set[str]
) -> None:
    asked = request("self-harm/intent", "openai-moderation", frameworks=wanted)

    assert set(mapper().map(asked).reply.controls) == named


@pytest.mark.parametrize("wanted", ["SOX", "soc2"])
def test_a_framework_that_is_not_here_is_an_error_that_names_those_that_are(wanted: str) -> None:
    asked = request("hate", "openai-moderation", frameworks=["SOC2", wanted])

    with pytest.raises(UnknownFramework, match=f"{wanted}.*known: SOC2, ISO27001, HIPAA"):
        mapper().map(asked)


def test_every_answer_carries_the_versions_of_all_that_decides() -> None:
    reply = mapper(component()).map(request("hate", "openai-moderation")).reply

    assert reply.versions == {
        "taxonomy": taxonomy().reference,
        "frameworks": frameworks().reference,
        "detectors": f"detectors+{detectors().hash}",
        "detector": detectors().by_name["openai-moderation"].reference,
        "adapter": f"safety-head@1+{component().content_hash[:12]}",
        "calibration": component().calibration,
        "rules": f"rules@2+{taxonomy().hash}.{detectors().hash}",
    }


def test_only_the_parts_that_rules_do_not_know_go_to_the_model() -> None:
    mapped = mapper(component()).map(request("hate|insulting remark", "openai-moderation"))

    assert mapped.reply.taxonomy == ["HARM.SPEECH.Hate", "HARM.SPEECH.Insult"]
    assert (mapped.model_calls, mapped.valid) == (1, 1)
    assert mapped.reply.confidence == min(mapped.reply.scores.values())


def test_another_taxonomy_is_refused() -> None:
    with pytest.raises(UnknownTaxonomy, match="ai-safety"):
        mapper(component()).map(request(TEXT, taxonomy="attack"))


def test_vectors_that_do_not_fit_are_refused() -> None:
    served = mapper(component())

    with pytest.raises(DimensionMismatch, match="expected 384"):
        served.map(request(TEXT, vectors=Matrix.of(np.ones((1, 8), dtype=np.float32))))
    with pytest.raises(InvalidMessage, match="2 vectors for 1 parts"):
        served.map(request(TEXT, vectors=Matrix.of(np.ones((2, 384), dtype=np.float32))))


def test_too_many_parts_are_refused() -> None:
    output = "|".join(f"label {i}" for i in range(MAX_PARTS + 1))

    with pytest.raises(InvalidMessage, match="33 parts, at most 32"):
        mapper(component()).map(request(output, "acme"))


def test_vectors_of_half_precision_are_taken() -> None:
    half = request(TEXT)
    assert half.vectors is not None
    vectors = Matrix.of(half.vectors.array().astype(np.float16))

    assert mapper(component()).map(request(TEXT, vectors=vectors)).reply.decided_by == "model"
