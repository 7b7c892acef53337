"""A mapper worker whose components are on several engines: chosen by their cards, steered while it runs."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client as NatsClient

from tests.integration.model_server import Fault, ModelServer
from tests.integration.steered_mapper import HEAD, TEXT, Steered, mapping_release, push, steered
from trimtab.bus.local_server import LocalServer
from trimtab.contracts.control import Switch
from trimtab.contracts.errors import ErrorCode, RemoteError
from trimtab.contracts.mapping import DecidedBy, FallbackReason
from trimtab.contracts.orders import (
    CreateReleaseCommand,
    DeleteReleaseCommand,
    KillCommand,
    SetCommand,
)
from trimtab.contracts.samples import Readiness
from trimtab.telemetry.metrics import REGISTRY

pytestmark = pytest.mark.integration

LLM, LORA = "llm@1", "llama-safety@1"
BY_MODEL: tuple[DecidedBy, ...] = ("model", "unknown")


def settings(server: ModelServer, *components: str, **more: Any) -> dict[str, Any]:
    endpoints = {"openai": server.url, "vllm": server.url}
    return {"components": list(components), "endpoints": endpoints, **more}


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def feels(mapper: Steered) -> Readiness:
    return mapper.worker.identity.readiness


async def test_components_of_three_engines_are_served_side_by_side_and_say_who_they_are(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    await push(connection, tmp_path / "made", LLM, "openai")
    await push(connection, tmp_path / "made", LORA, "vllm", seed=1)
    async with ModelServer().running() as server:
        given = settings(server, HEAD, LLM, LORA)
        async with steered(nats_server, connection, tmp_path, HEAD, **given) as mapper:
            answers = {
                name: await mapper.ask(reference=name, threshold=0.0) for name in (HEAD, LLM, LORA)
            }
            loaded = mapper.worker.identity.components
            hashes = {name: loaded[name][:12] for name in answers}

    assert set(loaded) == {HEAD, LLM, LORA}
    for name, answer in answers.items():
        assert answer.component == name
        assert answer.message.decided_by in BY_MODEL
        assert answer.message.versions["adapter"] == f"{name}+{hashes[name]}"
    assert answers[LLM].message.versions["candidates"] == f"{HEAD}+{hashes[HEAD]}"
    assert "candidates" not in answers[HEAD].message.versions
    [(name, path)] = server.loras.items()
    assert name == f"{LORA}-{hashes[LORA]}"
    assert Path(path) == (tmp_path / "components" / name / "adapter").resolve()
    assert [chat["model"] for chat in server.chats] == ["tiny", name]


async def test_the_confidence_is_the_probability_of_the_label_and_nothing_that_was_written(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    await push(connection, tmp_path / "made", LLM, "openai")
    async with ModelServer(probability=0.8).running() as server:
        given = settings(server, LLM)
        async with steered(nats_server, connection, tmp_path, LLM, **given) as mapper:
            told = (await mapper.ask(threshold=0.0)).message
            server.probability = None
            silent = (await mapper.ask(threshold=0.0)).message

    assert told.confidence == pytest.approx(0.8)
    assert told.scores == {told.taxonomy[0]: told.confidence}
    assert silent.taxonomy == told.taxonomy
    assert silent.confidence < 0.8  # the head's own probability of that label


async def test_a_key_is_sent_as_it_stands_in_its_file_and_shows_up_nowhere(
    nats_server: LocalServer,
    connection: NatsClient,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    await push(connection, tmp_path / "made", LLM, "openai")
    key = tmp_path / "key"
    key.write_text("sk-very-secret\n")
    async with ModelServer().running() as server:
        given = settings(server, LLM, api_key_files={"openai": key})
        server.then_fault(Fault.ERROR)
        async with steered(nats_server, connection, tmp_path, LLM, **given) as mapper:
            failed = await mapper.ask()
            await mapper.ask()
            facts = str(mapper.worker.identity)

    assert failed.message.fallback_reason is FallbackReason.MODEL_ERROR
    assert {headers["authorization"] for headers in server.headers} == {"Bearer sk-very-secret"}
    logged = capsys.readouterr()
    assert "very-secret" not in logged.out + logged.err + facts


async def test_timeout_and_what_it_leaves_are_set_while_requests_flow(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    await push(connection, tmp_path / "made", LLM, "openai")
    async with ModelServer(always=Fault.SLOW).running() as server:
        given = settings(server, LLM, circuit_failures=1000)
        async with steered(nats_server, connection, tmp_path, LLM, **given) as mapper:
            await mapper.order(SetCommand(name="mapper.model_timeout_ms", value=50))
            late = await mapper.ask("toxicity")

            await mapper.order(SetCommand(name="mapper.on_timeout", value="fail"))
            with pytest.raises(RemoteError) as failed:
                await mapper.ask("toxicity")

            await mapper.order(SetCommand(name="mapper.on_timeout", value="rules"))
            again = await mapper.ask("toxicity")

    assert late.message.fallback_reason is FallbackReason.TIMEOUT
    assert late.message.taxonomy == ["HARM.SPEECH.Toxicity"]
    assert failed.value.code is ErrorCode.DEADLINE
    assert again.message.fallback_reason is FallbackReason.TIMEOUT


async def test_a_thrown_switch_stops_every_call_of_a_language_model(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    await push(connection, tmp_path / "made", LLM, "openai")
    async with ModelServer().running() as server:
        given = settings(server, LLM)
        async with steered(nats_server, connection, tmp_path, LLM, **given) as mapper:
            await mapper.ask()
            before = len(server.chats)
            await mapper.order(KillCommand(switch=Switch.MAPPER_MODE, value="rules_only"))
            answers = [await mapper.ask() for _ in range(10)]

    reasons = {answer.message.fallback_reason for answer in answers}
    assert reasons == {FallbackReason.KILL_SWITCH}
    assert len(server.chats) == before == 1


async def test_a_retry_is_counted_and_calls_are(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    await push(connection, tmp_path / "made", "counted@1", "openai")
    async with ModelServer().running() as server:
        server.then_fault(Fault.PROSE)
        given = settings(server, "counted@1")
        async with steered(nats_server, connection, tmp_path, "counted@1", **given) as mapper:
            await mapper.ask()
            await mapper.ask()

    assert counted("mapper_model_retries_total", component="counted@1") == 1
    assert counted("mapper_model_invocations_total", component="counted@1") == 3


async def test_a_worker_whose_model_keeps_failing_says_so_until_it_answers_again(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    await push(connection, tmp_path / "made", LLM, "openai")
    async with ModelServer(always=Fault.ERROR).running() as server:
        given = settings(server, LLM, circuit_failures=2, circuit_rest_s=0.2)
        async with steered(nats_server, connection, tmp_path, LLM, **given) as mapper:
            identity = mapper.worker.identity
            async with asyncio.timeout(60):
                while (await mapper.ask()).message.fallback_reason is FallbackReason.MODEL_ERROR:
                    pass
            assert feels(mapper) is Readiness.DEGRADED
            assert LLM in identity.reason
            assert counted("mapper_circuit_open", component=LLM) == 1.0

            server.always = None
            async with asyncio.timeout(60):
                while (await mapper.ask(threshold=0.0)).message.fallback_reason is not None:
                    await asyncio.sleep(0.02)
            assert feels(mapper) is Readiness.READY
            assert counted("mapper_circuit_open", component=LLM) == 0.0


async def test_texts_that_a_server_refuses_open_no_circuit_for_others(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    await push(connection, tmp_path / "made", LLM, "openai")
    async with ModelServer().running() as server:
        server.then_fault(*[Fault.REFUSED] * 4)
        given = settings(server, LLM, circuit_failures=2)
        async with steered(nats_server, connection, tmp_path, LLM, **given) as mapper:
            refused = [(await mapper.ask()).message.fallback_reason for _ in range(4)]
            other = (await mapper.ask(threshold=0.0)).message.fallback_reason

    assert refused == [FallbackReason.MODEL_ERROR] * 4
    assert other is None


async def test_a_server_that_lost_its_adapters_gets_them_again(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    await push(connection, tmp_path / "made", LORA, "vllm", seed=1)
    async with ModelServer().running() as server:
        given = settings(server, LORA)
        async with steered(nats_server, connection, tmp_path, LORA, **given) as mapper:
            before = dict(server.loras)
            server.loras.clear()
            answer = await mapper.ask(threshold=0.0)

    assert answer.message.decided_by in BY_MODEL
    assert server.loras == before


async def test_an_adapter_goes_with_its_worker_where_the_server_serves_nobody_else(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    await push(connection, tmp_path / "made", LORA, "vllm", seed=1)
    async with ModelServer().running() as server:
        given = settings(server, LORA, unload_adapters=True)
        async with steered(nats_server, connection, tmp_path, LORA, **given):
            assert len(server.loras) == 1

    assert server.loras == {}


async def test_an_adapter_of_a_deleted_release_leaves_its_server(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    await push(connection, tmp_path / "made", LORA, "vllm", seed=1)
    await push(connection, tmp_path / "made", "other@1", "vllm", seed=2)
    async with ModelServer().running() as server:
        given = settings(server, LORA, unload_adapters=True)
        async with steered(nats_server, connection, tmp_path, LORA, keep_s=0.0, **given) as mapper:
            own = set(server.loras)
            offered = CreateReleaseCommand(release=mapping_release("next", "other@1"))
            await mapper.order(offered)
            both = len(server.loras)
            await mapper.order(DeleteReleaseCommand(release="next"))
            async with asyncio.timeout(60):
                while "other@1" in mapper.worker.identity.components or set(server.loras) != own:
                    await asyncio.sleep(0.01)
            answer = await mapper.ask()

    assert (len(own), both) == (1, 2)
    assert answer.message.versions["adapter"].startswith(LORA)


async def test_a_server_that_is_not_there_leaves_the_rules_and_a_release_of_it_is_refused(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    await push(connection, tmp_path / "made", LORA, "vllm", seed=1)
    await push(connection, tmp_path / "made", "other@1", "openai")
    given: dict[str, Any] = {
        "components": [HEAD, LORA],
        "endpoints": {"vllm": "http://127.0.0.1:1"},
    }
    async with steered(nats_server, connection, tmp_path, HEAD, **given) as mapper:
        identity = mapper.worker.identity
        assert identity.readiness is Readiness.DEGRADED
        assert "not healthy" in identity.reason
        answer = await mapper.ask("toxicity", reference=LORA)

        offered = CreateReleaseCommand(release=mapping_release("next", "other@1"))
        await mapper.order(offered)

    assert answer.message.fallback_reason is FallbackReason.MODEL_ERROR
    assert answer.message.taxonomy == ["HARM.SPEECH.Toxicity"]
    assert "other@1" not in identity.components


@pytest.mark.parametrize(
    ("given", "says"),
    [
        pytest.param({}, "MAPPER_ENDPOINTS", id="no address"),
        pytest.param(
            {
                "endpoints": {"openai": "http://127.0.0.1:1"},
                "api_key_files": {"openai": "/nowhere/key"},
            },
            "MAPPER_API_KEY_FILES",
            id="no key",
        ),
    ],
)
async def test_a_component_that_cannot_be_reached_by_the_settings_says_which_one_is_missing(
    nats_server: LocalServer,
    connection: NatsClient,
    tmp_path: Path,
    given: dict[str, Any],
    says: str,
) -> None:
    await push(connection, tmp_path / "made", LLM, "openai")
    async with steered(nats_server, connection, tmp_path, LLM, components=[LLM], **given) as mapper:
        answer = await mapper.ask("toxicity")
        reason = mapper.worker.identity.reason

    assert says in reason
    assert answer.message.fallback_reason is FallbackReason.MODEL_ERROR
    assert answer.message.versions["adapter"] == "none"
    assert TEXT not in reason
