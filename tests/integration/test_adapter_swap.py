"""LoRA adapters are swapped and taken back under load: every answer fits, none is lost, each says which adapter.

The same against a server of vLLM's interface and, with ``make test-vllm``, against a real one.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from nats.aio.client import Client as NatsClient

from services.mapper.answer import SCHEMA
from tests.integration import tiny_llama
from tests.integration.model_server import ModelServer
from tests.integration.steered_mapper import Steered, mapping_release, push, steered
from tests.integration.vllm_server import llama_server
from tests.unit.mapper.shipped import taxonomy, vectors
from trimtab.bus.local_server import LocalServer
from trimtab.contracts.mapping import MapReply
from trimtab.contracts.orders import (
    CreateReleaseCommand,
    PromoteCommand,
    RollBackCommand,
    StartCanaryCommand,
)

pytestmark = pytest.mark.integration

OLD, NEW = "llama-safety@1", "llama-safety@2"
CALLERS = 8
TEXTS = list(vectors())[::100]


@pytest.fixture(scope="module")
def llama_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("llama")
    with llama_server(folder, tiny_llama.model(folder / "model")) as url:
        yield url


@dataclass
class Load:
    """Callers that ask one after another until they are told to stop."""

    mapper: Steered
    replies: list[MapReply] = field(default_factory=list)
    stopping: bool = False

    async def run(self) -> None:
        """Ask for ever; an error ends the test."""
        async with asyncio.TaskGroup() as group:
            for caller in range(CALLERS):
                group.create_task(self._ask(caller))

    async def grown(self, by: int) -> None:
        """Wait for so many more answers."""
        wanted = len(self.replies) + by
        async with asyncio.timeout(200):
            while len(self.replies) < wanted:
                await asyncio.sleep(0.01)

    async def _ask(self, caller: int) -> None:
        turn = caller
        while not self.stopping:
            text = TEXTS[turn % len(TEXTS)]
            self.replies.append((await self.mapper.ask(text, threshold=0.0)).message)
            turn += CALLERS


async def labels(mapper: Steered) -> list[list[str]]:
    return [(await mapper.ask(text, threshold=0.0)).message.taxonomy for text in TEXTS]


async def swapped(mapper: Steered, load: Load) -> None:
    """Offer, promote and take back a release with the other adapter while requests flow."""
    await load.grown(20)
    await mapper.order(CreateReleaseCommand(release=mapping_release("next", NEW)))
    await load.grown(20)
    await mapper.order(StartCanaryCommand(release="next"))
    await mapper.order(PromoteCommand())
    await load.grown(40)
    await mapper.order(RollBackCommand())
    await load.grown(40)


@pytest.mark.parametrize("real", [False, pytest.param(True, marks=pytest.mark.vllm)])
async def test_adapters_are_swapped_and_taken_back_under_load_and_every_answer_fits(
    request: pytest.FixtureRequest,
    nats_server: LocalServer,
    connection: NatsClient,
    tmp_path: Path,
    real: bool,
) -> None:
    upstream = request.getfixturevalue("llama_url") if real else ""
    await push(connection, tmp_path / "made", OLD, "vllm", seed=1)
    await push(connection, tmp_path / "made", NEW, "vllm", seed=2)
    async with ModelServer(upstream=upstream).running() as server:
        given: dict[str, Any] = {"components": [OLD], "endpoints": {"vllm": server.url}}
        async with steered(nats_server, connection, tmp_path, OLD, **given) as mapper:
            before = await labels(mapper)
            load = Load(mapper)
            running = asyncio.create_task(load.run())
            await swapped(mapper, load)
            load.stopping = True
            await running
            after = await labels(mapper)

    schema = msgspec.json.decode(SCHEMA.read_bytes())
    for reply in load.replies:
        answer = {"taxonomy": reply.taxonomy, "scores": reply.scores}
        jsonschema.validate(answer | {"confidence": reply.confidence}, schema)
        assert set(reply.taxonomy) <= set(taxonomy().labels)
        assert reply.fallback_reason is None
    by = Counter(reply.versions["adapter"].partition("+")[0] for reply in load.replies)
    assert set(by) == {OLD, NEW}
    assert by[NEW] >= 20
    first, last = load.replies[0].versions["adapter"], load.replies[-1].versions["adapter"]
    assert first == last
    assert after == before
