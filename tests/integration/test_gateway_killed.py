"""A gateway killed beside a write promises nothing that is not so: the same request again ends as asked."""

import asyncio
from pathlib import Path

import pytest

from tests.fleet import Fleet, Member
from tests.integration.dying_gateway import POINTS
from trimtab.client import Client
from trimtab.contracts.documents import Document
from trimtab.contracts.errors import DeadlineExceeded

pytestmark = pytest.mark.integration

COLLECTION = "killed"
DOCUMENTS = [Document(id=f"d{n}", text=f"Otter number {n} swims under the bridge.") for n in "123"]
IDS = [document.id for document in DOCUMENTS]


@pytest.fixture(params=POINTS)
async def dying(
    request: pytest.FixtureRequest,
    stocked_fleet: Fleet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Member:
    """A gateway that dies at its point once armed, beside the stages that it needs."""
    monkeypatch.setenv("DYING_POINT", request.param)
    monkeypatch.setenv("DYING_ARMED", str(tmp_path / "armed"))
    await stocked_fleet.start("controller", "encoder", "retriever")
    member = stocked_fleet.spawn("gateway", module="tests.integration.dying_gateway")
    await stocked_fleet.ready()
    return member


async def killed(fleet: Fleet, dying: Member, armed: Path) -> None:
    """Wait for the death of the gateway and start another one."""
    assert await dying.ended() == -9
    await asyncio.to_thread(armed.unlink)
    await fleet.start("gateway")


async def found(client: Client, sequence: int) -> set[str]:
    await client.wait_searchable(sequence)
    reply = await client.search("otters", collection=COLLECTION, limit=20)
    return {result.id for result in reply.results}


async def test_killed_while_it_stores(stocked_fleet: Fleet, dying: Member, tmp_path: Path) -> None:
    async with Client.connect(stocked_fleet.url) as client:
        first = await client.put_documents(COLLECTION, [Document(id="d0", text="An otter.")])
        (tmp_path / "armed").touch()
        with pytest.raises(DeadlineExceeded):
            await client.put_documents(COLLECTION, DOCUMENTS, timeout_s=10)
        await killed(stocked_fleet, dying, tmp_path / "armed")

        again = await client.put_documents(COLLECTION, DOCUMENTS)
        once_more = await client.put_documents(COLLECTION, DOCUMENTS)

        assert again.new + again.unchanged == len(DOCUMENTS)
        assert (once_more.new, once_more.unchanged) == (0, len(DOCUMENTS))
        assert again.sequence > first.sequence
        assert await found(client, again.sequence) == {"d0", *IDS}


async def test_killed_while_it_deletes(stocked_fleet: Fleet, dying: Member, tmp_path: Path) -> None:
    async with Client.connect(stocked_fleet.url) as client:
        keep = Document(id="d0", text="An otter.")
        await client.put_documents(COLLECTION, [keep, *DOCUMENTS])
        (tmp_path / "armed").touch()
        with pytest.raises(DeadlineExceeded):
            await client.delete_documents(COLLECTION, IDS, timeout_s=10)
        await killed(stocked_fleet, dying, tmp_path / "armed")

        again = await client.delete_documents(COLLECTION, IDS)
        once_more = await client.delete_documents(COLLECTION, IDS)

        assert again.deleted + again.missing == len(IDS)
        assert (once_more.deleted, once_more.missing) == (0, len(IDS))
        assert await found(client, again.sequence) == {"d0"}
