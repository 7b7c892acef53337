"""Durable jobs over a real deployment: accepted once, done once, and never lost, whoever is killed meanwhile."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.drills.command_line import exit_code, trimtab
from tests.fleet import Fleet
from trimtab.client import Client
from trimtab.contracts.control import Switch
from trimtab.contracts.documents import Document, PutDocuments, PutReply
from trimtab.contracts.errors import RemoteError
from trimtab.contracts.jobs import JobPriority, JobRecord, JobState
from trimtab.contracts.orders import KillCommand, Order, RestoreCommand
from trimtab.contracts.pipeline import MapAnswer, MapCall, SearchReply, SearchRequest
from trimtab.contracts.samples import QUEUE_LAG
from trimtab.jobs.identity import job_key
from trimtab.jobs.outcome import reply_of

pytestmark = pytest.mark.integration

LABEL = MapCall(output="hate/threatening", detector="openai-moderation")
NOBODYS = MapCall(output="x", detector="openai-moderation", taxonomy="nobodys")
WAIT_S = 90.0
QUICK = {"job_tries": "2", "job_retry_s": "0.05"}


@pytest.fixture(scope="module")
def working(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One pipeline for all tests of this file; its mapper and gateways come and go."""
    fleet = Fleet(tmp_path_factory.mktemp("working"))
    fleet.adopt(template)
    fleet.server.start()
    fleet.spawn("controller")
    fleet.spawn("encoder")
    fleet.spawn("retriever")
    fleet.spawn("reranker")
    fleet.spawn("mapper")
    fleet.spawn("gateway", **QUICK)
    yield fleet
    fleet.close()


@pytest_asyncio.fixture
async def asking(working: Fleet) -> AsyncIterator[Client]:
    """A client, once the fleet is ready and whole again."""
    for service in ("mapper", "gateway"):
        if not working.of(service):
            working.spawn(service, **(QUICK if service == "gateway" else {}))
    await working.ready()
    async with Client.connect(working.url, name="cli") as client:
        yield client


@pytest_asyncio.fixture
async def http(working: Fleet, asking: Client) -> AsyncIterator[httpx.AsyncClient]:
    """The HTTP face of the gateway."""
    assert asking.connection.is_connected
    async with httpx.AsyncClient(
        base_url=await working.api(), timeout=60, trust_env=False
    ) as client:
        yield client


async def order(client: Client, command: KillCommand | RestoreCommand) -> None:
    await client.order(
        Order(operation=uuid.uuid4().hex, command=command, actor="test", reason="a test"),
        timeout_s=30,
    )


async def close_pipeline(client: Client, tenant: str = "") -> None:
    """Close it, for everybody or one tenant, and wait until the gateway obeys."""
    await order(client, KillCommand(switch=Switch.PIPELINE, value="closed", tenant=tenant))
    async with asyncio.timeout(WAIT_S):
        while not await _refused(client, tenant or "public"):
            await asyncio.sleep(0.02)


async def _refused(client: Client, tenant: str) -> bool:
    try:
        await client.map(LABEL.output, detector=LABEL.detector, tenant=tenant)
    except RemoteError as error:
        return error.error == "Disabled"
    return False


async def ended(client: Client, job: str, tenant: str = "public") -> JobRecord:
    """Wait for a job; a gateway that is just starting is waited for too."""
    async with asyncio.timeout(WAIT_S):
        while True:
            with contextlib.suppress(Exception):  # no gateway yet, or none that is ready
                record = await client.wait(job, tenant=tenant, timeout_s=5)
                if record.state is not JobState.PENDING:
                    return record
            await asyncio.sleep(0.1)


async def test_each_kind_of_job_is_answered_as_the_online_path_answers(asking: Client) -> None:
    documents = PutDocuments(collection="jobs", documents=[Document(id="1", text="An otter.")])

    mapped = reply_of(await ended(asking, await asking.submit(LABEL)))
    put = reply_of(await ended(asking, await asking.submit(documents)))
    assert isinstance(put, PutReply)
    await asking.wait_searchable(put.sequence)
    found = reply_of(await ended(asking, await asking.submit(
        SearchRequest(text="otters", collection="jobs"), priority=JobPriority.HIGH
    )))  # fmt: skip

    assert isinstance(mapped, MapAnswer)
    assert isinstance(found, SearchReply)
    assert mapped.answer.taxonomy == (await asking.map(LABEL.output, detector=LABEL.detector)).answer.taxonomy  # fmt: skip
    assert put.new == 1
    assert [result.id for result in found.results] == ["1"]


async def test_a_job_is_its_tenants_and_nobody_elses(asking: Client) -> None:
    job = await asking.submit(LABEL, job_id="private", tenant="acme")

    record = await ended(asking, job, "acme")
    with pytest.raises(RemoteError) as refused:
        await asking.result(job, tenant="other")

    assert record.state is JobState.DONE
    assert refused.value.error == "UnknownJob"


async def test_the_same_job_again_is_found_and_not_done_twice(
    working: Fleet, asking: Client
) -> None:
    first = await asking.submit(LABEL, job_id="again")
    record = await ended(asking, first)
    second = await asking.submit(LABEL, job_id="again")

    assert await ended(asking, second) == record
    logs = "".join(member.log.read_text() for member in working.members)
    assert logs.count('"request_id": "again"') == 1


async def test_what_can_never_be_answered_ends_at_once_with_its_typed_error(asking: Client) -> None:
    record = await ended(asking, await asking.submit(NOBODYS))

    assert (record.state, record.attempts) == (JobState.FAILED, 1)
    assert record.error is not None
    assert record.error.error == "UnknownTaxonomy"
    assert await asking.dead_letters.depth() == 0


async def test_what_nobody_waits_for_any_more_is_not_done(asking: Client) -> None:
    await close_pipeline(asking)
    job = await asking.submit(LABEL, deadline_s=0.01)
    await order(asking, RestoreCommand(switch=Switch.PIPELINE))

    record = await ended(asking, job)

    assert record.state is JobState.FAILED
    assert record.error is not None
    assert record.error.error == "DeadlineExceeded"


async def test_jobs_wait_while_the_pipeline_is_closed_and_the_queues_lag_says_so(
    asking: Client, http: httpx.AsyncClient
) -> None:
    await close_pipeline(asking)
    jobs = [await asking.submit(LABEL) for _ in range(5)]
    waiting = {(await asking.result(job)).state for job in jobs}
    behind = await _lag(http, lambda lag, left: lag > 1 and left == 5)
    await order(asking, RestoreCommand(switch=Switch.PIPELINE))
    states = {(await ended(asking, job)).state for job in jobs}
    caught_up = await _lag(http, lambda lag, left: lag == 0 and left == 0)
    [gateway] = [s for s in await asking.health() if s.service == "gateway"]

    assert waiting == {JobState.PENDING}
    assert states == {JobState.DONE}
    assert behind
    assert caught_up
    assert gateway.facts[QUEUE_LAG] == 0


async def _lag(http: httpx.AsyncClient, wanted: Callable[[float, float], bool]) -> bool:
    """Wait until the gateway's own metrics say that the queue is as wanted."""
    names = ("mapper_queue_lag_seconds", "gateway_jobs_pending", "gateway_jobs_ack_pending")
    async with asyncio.timeout(WAIT_S):
        while True:
            lines = (await http.get("/metrics")).text.splitlines()
            found = dict(line.split(" ") for line in lines if line.startswith(names))
            lag, pending, taken = (float(found[name]) for name in names)
            if wanted(lag, pending + taken):  # one may have been taken just before the order
                return True
            await asyncio.sleep(0.1)


async def test_jobs_of_a_tenant_that_is_closed_wait_without_using_up_their_tries(
    asking: Client,
) -> None:
    await close_pipeline(asking, "acme")
    job = await asking.submit(LABEL, tenant="acme")
    async with asyncio.timeout(WAIT_S):
        while not (await asking.result(job, tenant="acme")).excused:
            await asyncio.sleep(0.05)
    others = await ended(asking, await asking.submit(LABEL))
    await order(asking, RestoreCommand(switch=Switch.PIPELINE, tenant="acme"))

    record = await ended(asking, job, "acme")

    assert others.state is JobState.DONE
    assert (record.state, record.attempts) == (JobState.DONE, 1)


async def test_a_job_that_fails_again_and_again_is_a_dead_letter_that_can_be_replayed(
    working: Fleet, asking: Client
) -> None:
    await working.stop("mapper")
    job = await asking.submit(LABEL, job_id="doomed", tenant="acme")
    record = await ended(asking, job, "acme")
    [letter] = await asking.dead_letters.oldest(10)
    listed = await asyncio.to_thread(trimtab, working, "jobs", "dead", "list")
    missing = await asyncio.to_thread(exit_code, working, "jobs", "dead", "replay", "ab" * 16)
    working.spawn("mapper")
    await working.ready()
    await asyncio.to_thread(trimtab, working, "jobs", "dead", "replay", letter.key)

    again = await _done(asking, job)

    assert (record.state, record.attempts) == (JobState.DEAD, 2)
    assert (letter.key, letter.code) == (job_key("acme", job), "no_workers")
    assert [each["key"] for each in listed["letters"]] == [letter.key]  # type: ignore[attr-defined]
    assert missing == 1
    assert (again.state, again.replay) == (JobState.DONE, 1)
    assert await asking.dead_letters.depth() == 0


async def _done(client: Client, job: str) -> JobRecord:
    async with asyncio.timeout(WAIT_S):
        while True:
            record = await client.wait(job, tenant="acme", timeout_s=5)
            if record.state is JobState.DONE:
                return record
            await asyncio.sleep(0.05)


async def test_dead_letters_are_purged_by_one_command(working: Fleet, asking: Client) -> None:
    await working.stop("mapper")
    await ended(asking, await asking.submit(LABEL))
    purged = await asyncio.to_thread(trimtab, working, "jobs", "dead", "purge", "--yes")

    assert purged == {"purged": 1}
    assert await asking.dead_letters.oldest(10) == []


async def test_bytes_that_are_no_job_become_a_dead_letter_and_hold_up_nobody(
    asking: Client,
) -> None:
    js = asking.connection.jetstream()
    await js.publish("trimtab.job.map.normal.ab12", b"not a job", stream="TRIMTAB_JOBS")

    record = await ended(asking, await asking.submit(LABEL))
    async with asyncio.timeout(WAIT_S):
        while not (letters := await asking.dead_letters.oldest(10)):
            await asyncio.sleep(0.05)

    assert record.state is JobState.DONE
    assert [(each.id, each.code, each.size) for each in letters] == [("unreadable", "invalid", 9)]
    assert await asking.dead_letters.purge() == 1


async def test_a_gateway_that_is_killed_loses_no_job_and_stores_none_twice(
    working: Fleet, asking: Client
) -> None:
    [gateway] = working.of("gateway")
    batches = [
        PutDocuments(
            collection="survivors", documents=[Document(id=f"{n}", text=f"Otter number {n}.")]
        )
        for n in range(30)
    ]
    jobs = [await asking.submit(batch) for batch in batches]
    first = await ended(asking, jobs[0])
    gateway.kill()
    working.spawn("gateway", **QUICK)

    records = [await ended(asking, job) for job in jobs]

    replies = [reply_of(record) for record in records]
    assert first.state is JobState.DONE
    assert {record.state for record in records} == {JobState.DONE}
    await asking.wait_searchable(max(r.sequence for r in replies if isinstance(r, PutReply)))
    found = await asking.search("otter number", collection="survivors", limit=100)
    assert sorted(int(result.id) for result in found.results) == list(range(30))


async def test_a_gateway_that_is_told_to_stop_finishes_or_hands_back_and_the_next_one_goes_on(
    working: Fleet, asking: Client
) -> None:
    [gateway] = working.of("gateway")
    jobs = [await asking.submit(LABEL) for _ in range(40)]
    gateway.terminate()
    code = await gateway.ended(60)
    working.spawn("gateway", **QUICK)

    states = {(await ended(asking, job)).state for job in jobs}

    assert code == 0
    assert states == {JobState.DONE}


async def test_jobs_over_http_are_accepted_found_and_answered(http: httpx.AsyncClient) -> None:
    work = {
        "kind": "map",
        "request": {"output": "hate/threatening", "detector": "openai-moderation"},
    }
    accepted = await http.post("/v1/jobs", json={"id": "web-1", "work": work})
    answer = await _answered(http, "web-1")
    again = await http.post("/v1/jobs", json={"id": "web-1", "work": work})
    other = await http.post(
        "/v1/jobs", json={"id": "web-1", "work": {**work, "request": {"output": "x"}}}
    )
    failing = {"kind": "map", "request": {"output": "x", "taxonomy": "nobodys"}}
    await http.post("/v1/jobs", json={"id": "web-2", "work": failing})
    failed = await _answered(http, "web-2")

    assert (accepted.status_code, accepted.json()["state"]) == (202, "pending")
    assert (answer.status_code, answer.json()["state"]) == (200, "done")
    assert answer.json()["result"]["answer"]["taxonomy"][0].startswith("HARM.")
    assert (again.status_code, again.json()) == (200, answer.json())
    assert (other.status_code, other.json()["title"]) == (409, "IdempotencyConflict")
    assert (failed.status_code, failed.json()["title"]) == (404, "UnknownTaxonomy")
    assert (await http.get("/v1/jobs/never")).json()["title"] == "UnknownJob"


async def _answered(http: httpx.AsyncClient, job: str) -> httpx.Response:
    async with asyncio.timeout(WAIT_S):
        while True:
            answer = await http.get(f"/v1/jobs/{job}")
            if answer.status_code != 202:
                return answer
            await asyncio.sleep(0.05)


async def test_the_command_line_submits_waits_lists_and_tells_by_its_exit_code(
    working: Fleet, asking: Client
) -> None:
    def run(*words: str) -> dict[str, object]:
        return trimtab(working, "jobs", *words)

    submitted = await asyncio.to_thread(
        run, "submit", "map", "hate/threatening", "--detector", "openai-moderation", "--id", "cli-1"
    )
    waited = await asyncio.to_thread(run, "wait", "cli-1", "--timeout", "60")
    result = await asyncio.to_thread(run, "result", "cli-1")
    await close_pipeline(asking)
    await asking.submit(LABEL, job_id="cli-2")
    listed = await asyncio.to_thread(run, "list")
    late = await asyncio.to_thread(exit_code, working, "jobs", "wait", "cli-2", "--timeout", "0.2")
    await order(asking, RestoreCommand(switch=Switch.PIPELINE))
    unknown = await asyncio.to_thread(exit_code, working, "jobs", "result", "never")

    assert submitted["id"] == "cli-1"
    assert waited["state"] == result["state"] == "done"
    assert "cli-2" in [job["id"] for job in listed["jobs"]]  # type: ignore[attr-defined]
    assert (late, unknown) == (4, 1)
