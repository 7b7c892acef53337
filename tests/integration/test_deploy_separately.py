"""Every service runs from a folder that holds the library and itself, in a venv with its extra only.

Together they are a deployment without a shared installation: they meet on NATS and nowhere else, each under
its own key with the least permissions.
"""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.architecture.tree import SERVICES
from tests.integration.alone import Alone, can_confine, make_core
from tests.integration.guarded_server import GuardedServer, guarded_server
from trimtab.client import Client
from trimtab.contracts.documents import Document
from trimtab.contracts.samples import Readiness, Sample

pytestmark = [pytest.mark.drill, pytest.mark.asyncio(loop_scope="module")]

READY_S = 240.0
"""Longest wait for a start: the encoder builds its model, and the machine may be busy."""
_OF_OTHERS = {
    "encoder": ("faiss", "fastapi", "jsonschema_rs"),
    "retriever": ("onnxruntime", "fastapi", "jsonschema_rs"),
    "reranker": ("onnxruntime", "faiss", "fastapi"),
    "mapper": ("onnxruntime", "faiss", "fastapi"),
    "controller": ("onnxruntime", "faiss", "fastapi", "safetensors"),
    "gateway": ("onnxruntime", "faiss", "safetensors"),
}
"""Packages of other extras: finding one means that the venv is not the service's own."""

_HEAVY = ("torch", "vllm", "sentence_transformers", "typer", "pytest")


@dataclass
class Apart:
    """Six services and the server between them."""

    server: GuardedServer
    """NATS with ``deploy/nats/secure.conf``."""
    services: dict[str, Alone]
    """By name."""
    confined: bool
    """Whether each has a read-only root and no capabilities."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def apart(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Apart]:
    """All six, installed two at a time and started."""
    folder = tmp_path_factory.mktemp("apart")
    services = {name: Alone(name, folder / name) for name in SERVICES}
    core = make_core(folder / "core")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda service: service.install(core), services.values()))
    confined = can_confine()
    with guarded_server(folder / "nats") as server:
        try:
            for name, service in services.items():
                service.start(server.url, server.seeds[name], confined=confined)
            yield Apart(server, services, confined)
        finally:
            for service in services.values():
                service.stop()


def _producer(apart: Apart) -> AbstractAsyncContextManager[Client]:
    return Client.connect(apart.server.url, nkey_seed=apart.server.seeds["producer"])


async def _sample(apart: Apart, service: str) -> Sample:
    """Return the service's health reply once it is ready; its log when it ended or is not."""
    alone = apart.services[service]
    try:
        async with _producer(apart) as client, asyncio.timeout(READY_S):
            while alone.process is not None and alone.process.poll() is None:
                for sample in await client.health():
                    if sample.service == service and sample.readiness != Readiness.STARTING:
                        assert sample.readiness == Readiness.READY, sample.reason
                        return sample
    except TimeoutError:
        pass  # said below, with its log
    raise AssertionError(f"{service} is not ready\n{alone.log.read_text()[-4000:]}")


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_becomes_ready_with_nothing_but_the_library_and_its_extra(
    apart: Apart, service: str
) -> None:
    sample = await _sample(apart, service)

    assert sample.instance == service


@pytest.mark.parametrize("service", SERVICES)
async def test_there_is_no_other_service_and_no_other_extra_around_it(
    apart: Apart, service: str
) -> None:
    alone = apart.services[service]

    present = {path.name for path in (alone.tree / "services").iterdir() if path.is_dir()}
    foreign = [n for n in (*_OF_OTHERS[service], *_HEAVY) if (alone.packages / n).exists()]

    assert present == {service}
    assert not (alone.packages / "trimtab").exists()
    assert foreign == []


async def test_services_that_share_nothing_but_nats_answer_a_search_and_a_map(apart: Apart) -> None:
    for service in SERVICES:
        await _sample(apart, service)
    document = Document(id="1", text="Rotate the signing key every ninety days.", title="Keys")

    async with _producer(apart) as client:
        stored = await client.put_documents("notes", [document], timeout_s=60)
        await client.wait_searchable(stored.sequence)
        found = await client.search("how often are keys changed", collection="notes", timeout_s=30)
        mapped = await client.map("hate/threatening", detector="openai-moderation", timeout_s=30)

    assert [result.id for result in found.results] == ["1"]
    assert found.degraded == []
    assert mapped.answer.decided_by in ("model", "rules")
    assert apart.server.violations() == [], "a role needs more than secure.conf allows"


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_needs_no_capability_and_no_writable_root(
    apart: Apart, service: str
) -> None:
    if not apart.confined:
        pytest.skip("this machine does not let a test make mount namespaces")
    await _sample(apart, service)
    process = apart.services[service].process
    assert process is not None
    proc = Path("/proc") / str(process.pid)

    status = dict(line.split(":\t") for line in (proc / "status").read_text().splitlines())
    root = next(line for line in (proc / "mounts").read_text().splitlines() if " / " in line)

    assert status["CapEff"].strip("0") == status["CapBnd"].strip("0") == ""
    assert status["NoNewPrivs"] == "1"
    assert root.split()[3].startswith("ro")
