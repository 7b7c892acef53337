"""What every mapping engine does, whatever runs the model: one suite for all of them.

The head in this process, a server of OpenAI's interface and one of vLLM's are asked here; ``make
test-vllm`` puts a real vLLM server with a LoRA adapter behind the same faults.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import jsonschema
import msgspec
import pytest

from services.mapper.answer import SCHEMA
from services.mapper.engines.guard import Terms
from services.mapper.mapper import Mapped
from tests.integration import tiny_llama
from tests.integration.mapper_rigs import FAILURES, REST_S, ChatRig, HeadRig, Rig, chat_rig
from tests.integration.model_server import Fault
from tests.integration.vllm_server import llama_server
from tests.unit.mapper.shipped import request, taxonomy, vectors
from trimtab.contracts.errors import DeadlineExceeded
from trimtab.contracts.mapping import UNKNOWN, FallbackReason, MappingMode

pytestmark = pytest.mark.integration

TEXT = "you are an idiot"
ALIAS = "toxicity"
"""What the taxonomy's own rules know, so that a fallback has an answer to give."""

PATIENT = Terms(remaining_s=100.0, budget_s=60.0)
HASTY = Terms(remaining_s=100.0, budget_s=0.05)

INVALID = [
    Fault.PROSE,
    Fault.OUTSIDE,
    Fault.ELSEWHERE,
    Fault.BOASTS,
    Fault.NOT_JSON,
    Fault.NO_CHOICE,
]


@pytest.fixture(scope="module")
def llama_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("llama")
    with llama_server(folder, tiny_llama.model(folder / "model")) as url:
        yield url


@pytest.fixture(
    params=["head", "openai", "vllm", pytest.param("real vllm", marks=pytest.mark.vllm)]
)
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    if request.param == "head":
        yield HeadRig.made()
        return
    real = request.param == "real vllm"
    upstream = request.getfixturevalue("llama_url") if real else ""
    async with AsyncExitStack() as stack:
        kind = "openai" if request.param == "openai" else "vllm"
        yield await stack.enter_async_context(chat_rig(tmp_path, kind, upstream=upstream))


async def ask(rig: Rig, text: str = TEXT, terms: Terms = PATIENT, **fields: object) -> Mapped:
    return await rig.mapper.answer(request(text, **fields), terms)  # type: ignore[arg-type]


def reason(mapped: Mapped) -> FallbackReason | None:
    """The request's one reason; the rules' answer comes with it."""
    if mapped.reply.fallback_reason is not None:
        assert mapped.reply.decided_by in ("rules", "unknown")
    return mapped.reply.fallback_reason


async def test_every_answer_fits_the_schema_and_its_labels_are_the_taxonomys(rig: Rig) -> None:
    schema = msgspec.json.decode(SCHEMA.read_bytes())

    for text in list(vectors())[::120]:
        mapped = await ask(rig, text)

        reply = mapped.reply
        answer = {
            "taxonomy": reply.taxonomy,
            "scores": reply.scores,
            "confidence": reply.confidence,
        }
        jsonschema.validate(answer, schema)
        assert set(reply.taxonomy) <= set(taxonomy().labels)
        assert reason(mapped) is None
        assert reply.decided_by == ("unknown" if reply.taxonomy == [UNKNOWN] else "model")
        assert (mapped.valid, mapped.invalid, mapped.retries) == (1, 0, 0)


async def test_the_same_question_has_the_same_answer(rig: Rig) -> None:
    first, again = await ask(rig), await ask(rig)

    assert first.reply.taxonomy == again.reply.taxonomy
    assert first.reply.versions == again.reply.versions


@pytest.mark.vllm
async def test_a_real_server_holds_its_answers_to_a_schema_and_says_how_probable_they_are(
    llama_url: str, tmp_path: Path
) -> None:
    async with chat_rig(tmp_path, "openai", upstream=llama_url) as served:
        for text in list(vectors())[::200]:
            mapped = await ask(served, text)

            assert reason(mapped) is None
            assert (mapped.valid, mapped.invalid) == (1, 0)
            assert 0.0 < mapped.reply.confidence < 1.0
    assert all("response_format" in chat for chat in served.server.chats)


@pytest.mark.parametrize("fault", INVALID)
async def test_an_answer_that_cannot_be_used_is_asked_for_once_more(rig: Rig, fault: Fault) -> None:
    rig.then(fault, None)

    mapped = await ask(rig)

    assert reason(mapped) is None
    assert rig.calls == mapped.model_calls == 2
    assert (mapped.retries, mapped.invalid, mapped.valid) == (1, 1, 1)


@pytest.mark.parametrize("fault", INVALID)
async def test_two_answers_that_cannot_be_used_leave_it_to_the_rules(
    rig: Rig, fault: Fault
) -> None:
    rig.keep(fault)

    mapped = await ask(rig, ALIAS)

    assert reason(mapped) is FallbackReason.INVALID_OUTPUT
    assert mapped.reply.taxonomy == ["HARM.SPEECH.Toxicity"]
    assert rig.calls == mapped.model_calls == 2
    assert (mapped.retries, mapped.invalid, mapped.valid) == (1, 2, 0)


async def test_a_late_model_leaves_it_to_the_rules(rig: Rig) -> None:
    rig.keep(Fault.SLOW)

    mapped = await ask(rig, ALIAS, HASTY)

    assert reason(mapped) is FallbackReason.TIMEOUT
    assert mapped.reply.taxonomy == ["HARM.SPEECH.Toxicity"]


async def test_a_late_model_is_an_error_where_the_policy_says_so(rig: Rig) -> None:
    rig.keep(Fault.SLOW)

    with pytest.raises(DeadlineExceeded):
        await ask(rig, terms=Terms(100.0, 0.05, fail_on_timeout=True))


async def test_no_time_left_asks_no_model(rig: Rig) -> None:
    mapped = await ask(rig, terms=Terms(remaining_s=0.0))

    assert reason(mapped) is FallbackReason.TIMEOUT
    assert rig.calls == 0


@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.DROPPED, Fault.BROKEN_OFF])
async def test_a_model_that_fails_leaves_it_to_the_rules(
    rig: Rig, fault: Fault, capsys: pytest.CaptureFixture[str]
) -> None:
    rig.then(fault)

    mapped = await ask(rig, ALIAS)
    healed = await ask(rig)

    assert reason(mapped) is FallbackReason.MODEL_ERROR
    assert mapped.reply.taxonomy == ["HARM.SPEECH.Toxicity"]
    assert reason(healed) is None
    logged = capsys.readouterr().out
    assert "model_failed" in logged
    if isinstance(rig, ChatRig):  # a server's error quotes what it was asked
        assert ALIAS not in logged


async def test_a_model_that_keeps_failing_is_left_alone_and_then_tried_by_one_request(
    rig: Rig,
) -> None:
    rig.keep(Fault.ERROR)
    failing = [reason(await ask(rig)) for _ in range(FAILURES)]
    calls = rig.calls

    alone = [reason(await ask(rig)) for _ in range(5)]
    assert rig.calls == calls
    rig.clock.now += REST_S
    probed = [reason(await ask(rig)) for _ in range(2)]
    assert rig.calls == calls + 1
    rig.keep(None)
    rig.clock.now += REST_S
    healed = [reason(await ask(rig)) for _ in range(2)]

    assert failing == [FallbackReason.MODEL_ERROR] * FAILURES
    assert alone == [FallbackReason.CIRCUIT_OPEN] * 5
    assert probed == [FallbackReason.MODEL_ERROR, FallbackReason.CIRCUIT_OPEN]
    assert healed == [None, None]


async def test_answers_that_cannot_be_used_open_no_circuit(rig: Rig) -> None:
    rig.keep(Fault.OUTSIDE)

    found = [reason(await ask(rig)) for _ in range(FAILURES + 1)]

    assert set(found) == {FallbackReason.INVALID_OUTPUT}


async def test_the_switch_keeps_the_model_out_of_everything(rig: Rig) -> None:
    mapped = await ask(rig, mode=MappingMode.RULES_ONLY)

    assert reason(mapped) is FallbackReason.KILL_SWITCH
    assert rig.calls == mapped.model_calls == 0


async def test_too_little_confidence_leaves_it_to_the_rules(rig: Rig) -> None:
    declared = await ask(rig, threshold=1.0)
    undeclared = await ask(rig, "personal insult", detector="acme", threshold=1.0)

    assert reason(declared) is FallbackReason.LOW_CONFIDENCE
    assert reason(undeclared) is FallbackReason.UNKNOWN_DETECTOR


async def test_of_several_parts_only_the_unusable_ones_are_asked_again(rig: Rig) -> None:
    rig.then(Fault.OUTSIDE)

    mapped = await ask(rig, "insulting remark|bread and butter", detector="acme")

    assert reason(mapped) is None
    assert mapped.valid == 2
    assert mapped.retries == 1
    if isinstance(rig, ChatRig):
        assert rig.calls == 3
