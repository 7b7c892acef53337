"""Fixtures of real deployments: built and filled once per run, then shared or copied.

``deployment`` is one running deployment for all tests that harm nobody; ``stocked_fleet`` gives a test
a copy of its components and passages with nothing running yet, to kill what it likes.
"""

from collections.abc import AsyncIterator, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.fleet import SERVICES, Fleet
from trimtab.client import Client
from trimtab.contracts.documents import MAX_DOCUMENTS, Document
from trimtab.contracts.samples import Readiness
from trimtab.corpus.stdlib import COLLECTION, documents

MODULES = ("bisect", "csv", "glob", "heapq", "json", "os.path", "pathlib", "random", "shutil",
           "sqlite3", "statistics", "tempfile", "textwrap", "zipfile")  # fmt: skip
"""The corpus of the tests: some 340 passages instead of several thousand."""

_INGEST_S = 120.0


@dataclass(frozen=True)
class Deployment:
    """A running deployment of every service."""

    fleet: Fleet
    """Its processes; whoever shares it leaves them alone."""
    nats_url: str
    """Where NATS listens."""
    api: str
    """Address of the HTTP facade."""
    passages: tuple[Document, ...]
    """What was ingested into the collection ``stdlib``."""


async def fill(nats_url: str, passages: list[Document], collection: str = COLLECTION) -> None:
    """Ingest passages and wait until every retriever finds them."""
    async with Client.connect(nats_url, name="filler") as client:
        sequence = 0
        for start in range(0, len(passages), MAX_DOCUMENTS):
            batch = passages[start : start + MAX_DOCUMENTS]
            reply = await client.put_documents(collection, batch, timeout_s=_INGEST_S)
            sequence = max(sequence, reply.sequence)
        await client.wait_searchable(sequence, timeout_s=_INGEST_S)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a fleet that ran once and stopped in order: components built, corpus ingested."""
    fleet = Fleet(tmp_path_factory.mktemp("template"))
    fleet.server.start()
    try:
        await fleet.start(*SERVICES)
        # A worker that limps here would limp in every test.
        assert {sample.readiness for sample in await fleet.ready()} == {Readiness.READY}
        await fill(fleet.url, list(documents(MODULES)))
        await fleet.stop("gateway", "retriever")
    finally:
        fleet.close()
    return fleet.folder


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def deployment(
    template: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Deployment]:
    """One running deployment of every service, shared by the tests that kill nothing."""
    fleet = Fleet(tmp_path_factory.mktemp("deployment"))
    fleet.adopt(template)
    fleet.server.start()
    try:
        await fleet.start(*SERVICES)
        passages = tuple(documents(MODULES))
        yield Deployment(fleet, fleet.url, await fleet.api(), passages)
    finally:
        fleet.close()


@pytest.fixture
async def http(deployment: Deployment) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the shared deployment's HTTP facade."""
    async with httpx.AsyncClient(base_url=deployment.api, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
async def client(deployment: Deployment) -> AsyncIterator[Client]:
    """A NATS client of the shared deployment."""
    async with Client.connect(deployment.nats_url, name="test") as connected:
        yield connected


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A nats-server with nothing beside it yet; what the test starts is ended after it."""
    empty = Fleet(tmp_path)
    empty.server.start()
    yield empty
    empty.close()


@pytest.fixture
def stocked_fleet(template: Path, tmp_path: Path) -> Iterator[Fleet]:
    """The same with built components and an ingested corpus."""
    stocked = Fleet(tmp_path)
    stocked.adopt(template)
    stocked.server.start()
    yield stocked
    stocked.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Show the last log lines of every process beside a failure."""
    report: Any = yield
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Deployment | Fleet):
                fleet = value.fleet if isinstance(value, Deployment) else value
                report.sections.append(("processes", fleet.tails()))
    return report
