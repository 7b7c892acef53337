"""A mapper worker over a real nats-server: with its model, without it, and with a broken one."""

import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import nats.js.errors
import pytest
from nats.aio.client import Client as NatsClient

from services.mapper.app import build
from services.mapper.model.component import HEAD, SHIPPED
from services.mapper.settings import MapperSettings
from tests.unit.mapper.shipped import component, request, taxonomy
from tests.workers import deployment, running
from trimtab.artifacts.manifest import write_manifest
from trimtab.bus.caller import Answer, Caller
from trimtab.bus.local_server import LocalServer
from trimtab.contracts import subjects
from trimtab.contracts.errors import ErrorCode, NoWorkers, RemoteError
from trimtab.contracts.headers import RequestContext, now_ms
from trimtab.contracts.mapping import UNKNOWN, FallbackReason, MappingMode, MapReply, MapRequest
from trimtab.contracts.samples import Readiness
from trimtab.telemetry.metrics import REGISTRY
from trimtab.worker.service import Worker

pytestmark = pytest.mark.integration

REFERENCE = "safety-head@1"
TEXT = "you are an idiot"


def worker(server: LocalServer, home: Path, **settings: Any) -> Worker:
    return build(deployment(server, home), MapperSettings(**settings))


async def ask(
    connection: NatsClient, asked: MapRequest, reference: str = REFERENCE
) -> Answer[MapReply]:
    """Ask, again while nobody listens yet: a degraded worker says so before it subscribes."""
    context = RequestContext(uuid.uuid4().hex, "public", now_ms() + 5000, release="base")
    caller = Caller(connection)
    while True:
        try:
            return await caller.call(subjects.mapping(reference), asked, MapReply, context)
        except NoWorkers:
            if context.remaining_ms() < 0:
                raise


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def copied(tmp_path: Path, reference: str = REFERENCE) -> Path:
    """The shipped component under another name, to be spoilt."""
    folder = tmp_path / "shipped" / reference
    shutil.copytree(SHIPPED / REFERENCE, folder)
    name, _, version = reference.partition("@")
    write_manifest(folder, name=name, version=version, kind="mapper")
    return folder


async def test_a_label_and_a_text_are_mapped_and_the_worker_says_what_decides(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    async with running(worker(nats_server, tmp_path)) as mapper:
        label = await ask(connection, request("hate/threatening", "openai-moderation"))
        text = await ask(connection, request(TEXT))

    assert mapper.identity.reason == "stopping"
    assert label.message.taxonomy == ["HARM.SPEECH.HateThreat"]
    assert (label.message.decided_by, label.message.confidence) == ("rules", 1.0)
    assert text.message.taxonomy == ["HARM.SPEECH.Insult"]
    assert text.message.decided_by == "model"
    assert text.component == REFERENCE
    assert mapper.identity.components == {REFERENCE: component().content_hash}
    assert mapper.identity.facts["taxonomy"] == taxonomy().reference
    assert mapper.identity.facts["adapter"] == text.message.versions["adapter"]


async def test_in_rules_only_mode_the_count_of_model_calls_stays_flat(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    async with running(worker(nats_server, tmp_path)):
        await ask(connection, request(TEXT))
        before = counted("mapper_model_invocations_total", component=REFERENCE)
        for _ in range(20):
            reply = await ask(connection, request(TEXT, mode=MappingMode.RULES_ONLY))
            assert reply.message.fallback_reason is FallbackReason.KILL_SWITCH

    assert before > 0
    assert counted("mapper_model_invocations_total", component=REFERENCE) == before


async def test_a_missing_component_leaves_the_rules_and_says_so(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    served = worker(nats_server, tmp_path, components=["other-head@7"])
    async with running(served) as mapper:
        assert mapper.identity.readiness is Readiness.DEGRADED
        assert "other-head@7 serves rules only" in mapper.identity.reason

        known = await ask(connection, request("hate", "openai-moderation"), "other-head@7")
        unknown = await ask(connection, request(TEXT), "other-head@7")

    assert (known.message.taxonomy, known.message.fallback_reason) == (["HARM.SPEECH.Hate"], None)
    assert unknown.message.taxonomy == [UNKNOWN]
    assert unknown.message.fallback_reason is FallbackReason.MODEL_ERROR
    assert unknown.message.versions["adapter"] == "none"
    assert mapper.identity.components == {}


@pytest.mark.parametrize("damage", ["changed byte", "foreign labels", "no safetensors"])
async def test_a_broken_component_leaves_the_rules(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path, damage: str
) -> None:
    folder = copied(tmp_path, "broken@1")
    if damage == "changed byte":
        content = bytearray((folder / HEAD).read_bytes())
        content[-1] ^= 1
        (folder / HEAD).write_bytes(content)
    elif damage == "foreign labels":
        card = msgspec.json.decode((folder / "adapter.json").read_bytes())
        (folder / "adapter.json").write_bytes(msgspec.json.encode(card | {"taxonomy": "attack"}))
        write_manifest(folder, name="broken", version="1", kind="mapper")
    else:
        (folder / HEAD).write_bytes(b"\x00" * 64)
        write_manifest(folder, name="broken", version="1", kind="mapper")
    served = worker(nats_server, tmp_path, components=["broken@1"], shipped=folder.parent)

    async with running(served) as mapper:
        assert mapper.identity.readiness is Readiness.DEGRADED
        reply = await ask(connection, request("toxicity"), "broken@1")

    assert reply.message.taxonomy == ["HARM.SPEECH.Toxicity"]
    assert reply.message.fallback_reason is FallbackReason.MODEL_ERROR


async def test_an_artifact_store_that_does_not_answer_leaves_the_rules(
    nats_server: LocalServer,
    connection: NatsClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def silent(*_: object) -> None:
        raise nats.js.errors.ServiceUnavailableError

    monkeypatch.setattr("services.mapper.fetching.provide", silent)

    async with running(worker(nats_server, tmp_path)) as mapper:
        assert "the artifact store does not answer" in mapper.identity.reason
        reply = await ask(connection, request("toxicity"))

    assert reply.message.decided_by == "rules"


async def test_two_components_are_served_side_by_side_a_broken_one_does_not_take_the_other_along(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    served = worker(nats_server, tmp_path, components=["none@1", REFERENCE])

    async with running(served) as mapper:
        assert mapper.identity.readiness is Readiness.DEGRADED
        assert (await ask(connection, request(TEXT))).message.decided_by == "model"
        assert (await ask(connection, request(TEXT), "none@1")).message.decided_by == "unknown"


async def test_what_the_caller_did_wrong_is_a_typed_error_and_counted_as_his(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    wrong: Mapping[ErrorCode, MapRequest] = {
        ErrorCode.NOT_FOUND: request(TEXT, taxonomy="attack"),
        ErrorCode.INVALID: request("|".join(f"part {i}" for i in range(40)), "acme"),
    }
    labels = {"detector": "other", "status": "invalid"}
    before = counted("mapper_requests_total", **labels)

    async with running(worker(nats_server, tmp_path)):
        for code, asked in wrong.items():
            with pytest.raises(RemoteError) as refused:
                await ask(connection, asked)
            assert refused.value.code is code
        with pytest.raises(RemoteError) as too_long:
            await ask(connection, request("hate", "y" * 65))
        assert too_long.value.code is ErrorCode.INVALID
        assert (await ask(connection, request(TEXT))).message.decided_by == "model"

    assert counted("mapper_requests_total", **labels) - before == len(wrong)


async def test_bad_events_of_quality_are_in_the_sample(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    async with running(worker(nats_server, tmp_path)) as mapper:
        mapper.sampler.take(0)
        await ask(connection, request(TEXT, vectors=None))
        await ask(connection, request(TEXT))
        sample = mapper.sampler.peek(0)

    (endpoint,) = sample.endpoints
    assert (endpoint.endpoint, endpoint.component, endpoint.release) == ("map", REFERENCE, "base")
    assert endpoint.outcomes == {"ok": 2}
    assert endpoint.bad == {"fallback_model_error": 1}
