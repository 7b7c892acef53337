"""Rules deployed while a mapper serves: two taxonomies side by side, a bad bundle refused, the last good kept."""

import asyncio
import time
import uuid
from pathlib import Path

import msgspec
import pytest
from nats.aio.client import Client as NatsClient

from services.mapper.app import build
from services.mapper.bundles.bundle import KIND
from services.mapper.settings import MapperSettings
from tests.integration.test_mapper_service import ask
from tests.unit.control.documents import release
from tests.unit.mapper import bundled
from tests.unit.mapper.shipped import request
from tests.workers import deployment, running
from trimtab.artifacts.manifest import write_manifest
from trimtab.artifacts.store import ArtifactStore
from trimtab.bus.caller import Caller
from trimtab.bus.local_server import LocalServer
from trimtab.contracts import subjects
from trimtab.contracts.control import Applied, ApplyStatus
from trimtab.contracts.errors import ErrorCode, RemoteError
from trimtab.contracts.mappers import MappersRequest, MapperState
from trimtab.contracts.message import decode
from trimtab.contracts.orders import (
    Command,
    CreateReleaseCommand,
    Order,
    PromoteCommand,
    StartCanaryCommand,
)
from trimtab.control.execute import execute
from trimtab.control.store import ControlStore
from trimtab.worker.service import Worker

pytestmark = pytest.mark.integration

GOOD, BAD = "both-rules@2", "both-rules@3"


async def order(store: ControlStore, command: Command) -> int:
    asked = Order(operation=uuid.uuid4().hex, command=command, actor="ana", reason="test")
    return (await execute(store, asked, now=time.time()))[0].revision


async def obeyed(mapper: Worker, revision: int) -> None:
    async with asyncio.timeout(60):
        while mapper.controls.revision < revision:
            await asyncio.sleep(0.01)


async def promote(store: ControlStore, name: str, component: str) -> int:
    made = msgspec.structs.replace(release(name), map=component)
    await order(store, CreateReleaseCommand(release=made))
    await order(store, StartCanaryCommand(release=name))
    return await order(store, PromoteCommand())


async def state(connection: NatsClient) -> MapperState:
    (found,) = await Caller(connection).gather(
        subjects.MAPPERS, MappersRequest(unmapped=5), MapperState, window_s=30, expected=1
    )
    return found


async def test_rules_are_deployed_and_bad_ones_refused_while_a_mapper_serves_two_taxonomies(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    store = await ControlStore.open(connection, create=True)
    await store.initialise(release("base"), "test")
    artifacts = await ArtifactStore.open(connection)
    pets = bundled.pets(tmp_path / "own")
    bundled.written(tmp_path, GOOD, bundled.sources(), pets)
    bundled.written(tmp_path, BAD, bundled.sources(), pets)
    wrong = tmp_path / BAD / "pets" / "detectors" / "kennel.yaml"
    wrong.write_text(bundled.KENNEL.replace("PET.Dog", "PET.Cow"))
    write_manifest(tmp_path / BAD, name="both-rules", version="3", kind=KIND)
    for reference in (GOOD, BAD):
        await artifacts.push(tmp_path / reference)
    heard: asyncio.Queue[Applied] = asyncio.Queue()

    async def note(message: object) -> None:
        heard.put_nowait(decode(Applied, message.data))  # type: ignore[attr-defined]

    await connection.subscribe(subjects.APPLIED, cb=note)

    async with running(
        build(deployment(nats_server, tmp_path / "home"), MapperSettings())
    ) as mapper:
        await obeyed(mapper, await promote(store, "both", GOOD))
        hate = await ask(connection, request("hate", "openai-moderation"), GOOD)
        dog = await ask(connection, request("woof", "kennel", taxonomy="pets", vectors=None), GOOD)
        text = await ask(connection, request("you are an idiot"), GOOD)
        with pytest.raises(RemoteError, match="known: ai-safety, pets") as unknown:
            await ask(connection, request("woof", taxonomy="birds"), GOOD)
        served = await state(connection)

        await promote(store, "worse", BAD)
        async with asyncio.timeout(60):
            while (word := await heard.get()).status is not ApplyStatus.REJECTED:
                pass
        kept = await ask(connection, request("woof", "kennel", taxonomy="pets", vectors=None), GOOD)
        refused = await state(connection)

    assert hate.message.taxonomy == ["HARM.SPEECH.Hate"]
    assert hate.message.controls["SOC2"] == ["CC7.2"]
    assert (dog.message.taxonomy, dog.message.decided_by) == (["PET.Dog"], "rules")
    assert text.message.decided_by == "model"
    assert set(dog.message.versions) == {
        "taxonomy", "frameworks", "detectors", "detector", "adapter", "rules"
    }  # fmt: skip
    assert text.message.versions["calibration"].startswith("isotonic+")
    assert unknown.value.code is ErrorCode.NOT_FOUND
    assert {(each.component, each.taxonomy) for each in served.served} == {
        (GOOD, "ai-safety"),
        (GOOD, "pets"),
        ("safety-head@1", "ai-safety"),
    }
    assert {each.label: each.answers for each in served.labels} == {
        "HARM.SPEECH.Hate": 1,
        "PET.Dog": 1,
        "HARM.SPEECH.Insult": 1,
    }
    assert {c.control: c.answers for c in served.controls if c.framework == "SOC2"} == {"CC7.2": 2}

    assert "kennel.yaml" in word.reason
    assert "PET.Cow is no label of taxonomy pets" in word.reason
    assert kept.message == dog.message
    assert "PET.Cow" in refused.refused[BAD]
