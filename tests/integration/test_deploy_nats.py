"""``deploy/nats``: the files are valid, and every role can do its own work and nothing else."""

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import msgspec
import nats.errors
import pytest
from starlette.responses import Response

from scripts.make_nkeys import make, new_seed, roles
from services.controller.app import build as build_controller
from services.controller.settings import ControllerSettings
from services.gateway.http.replays import Named, Replays
from services.gateway.jobs.lag import JobLag
from services.gateway.jobs.pull import Door, JobPull
from services.gateway.jobs.runner import JobRunner, Verb
from services.gateway.jobs.verbs import Jobs
from services.gateway.jobs.verdicts import Patience
from services.mapper.app import build as build_mapper
from services.mapper.settings import MapperSettings
from services.retriever.passages.feed import Feed
from tests.architecture.tree import ROOT, SERVICES
from tests.contracts.examples import examples
from tests.integration.guarded_server import GuardedServer, guarded_server
from tests.workers import running
from trimtab.artifacts.manifest import write_manifest
from trimtab.artifacts.store import ArtifactStore
from trimtab.bus.caller import Caller
from trimtab.bus.connection import connect
from trimtab.bus.explanations import Explanations, Newest
from trimtab.bus.local_server import binary
from trimtab.bus.server import Endpoint
from trimtab.bus.streams import docs_stream, ensure, ensure_jobs
from trimtab.client import Client
from trimtab.contracts import subjects
from trimtab.contracts.documents import Rejected
from trimtab.contracts.errors import BusUnavailable, InvalidMessage, NotReady
from trimtab.contracts.evaluation import Evaluation
from trimtab.contracts.explain import Explanation
from trimtab.contracts.headers import RequestContext, now_ms
from trimtab.contracts.jobs import JobKind, JobQuery, JobRecord, JobState
from trimtab.contracts.mappers import MappersRequest, MapperState
from trimtab.contracts.message import decode
from trimtab.contracts.pipeline import MapAnswer, MapCall
from trimtab.contracts.samples import HealthRequest
from trimtab.control.feed import ControlFeed
from trimtab.control.store import ControlStore
from trimtab.telemetry import logs
from trimtab.worker.service import Worker
from trimtab.worker.settings import DeploymentSettings, WorkerSettings

pytestmark = pytest.mark.integration

STAGES: dict[str, Callable[[str], str]] = {
    "encoder": subjects.encode,
    "retriever": subjects.retrieve,
    "reranker": subjects.rerank,
    "mapper": subjects.mapping,
}
STATE = f"$KV.{subjects.CONTROL_BUCKET}.{subjects.CONTROL_KEY}"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedServer]:
    """One server for the module; each test uses keys of its own in it."""
    with guarded_server(tmp_path_factory.mktemp("guarded")) as server:
        yield server


def deployment(server: GuardedServer, role: str, home: Path) -> DeploymentSettings:
    return DeploymentSettings(nats_url=server.url, nats_nkey_seed=server.seeds[role], home=home)


def echo(server: GuardedServer, service: str, home: Path) -> Worker:
    """Return a worker of a stage that answers with its own name."""

    async def answer(_request: HealthRequest, _context: RequestContext) -> Rejected:
        return Rejected(index=0, id=service, reason="")

    async def load(worker: Worker) -> None:
        worker.serve(Endpoint("echo", STAGES[service]("echo@1"), HealthRequest, answer, "echo@1"))

    return Worker(service, "echoes", deployment(server, service, home), WorkerSettings(), load)


# --- the files ---


@pytest.mark.parametrize("name", ["server.conf", "secure.conf"])
def test_the_server_finds_the_configuration_valid(name: str, tmp_path: Path) -> None:
    checked = _check(name, {**os.environ, **make(tmp_path)})

    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("role", roles())
def test_the_guarded_server_does_not_start_without_every_key(role: str, tmp_path: Path) -> None:
    keys = make(tmp_path)
    missing = f"NATS_NKEY_{role.upper()}"

    checked = _check("secure.conf", {name: key for name, key in keys.items() if name != missing})

    assert checked.returncode == 1
    assert missing in checked.stderr


def test_keys_are_made_once_and_seeds_are_for_their_owner_only(tmp_path: Path) -> None:
    first = make(tmp_path)

    assert make(tmp_path) == first
    assert len(set(first.values())) == len(first) == 9
    assert {(tmp_path / f"{role}.nk").stat().st_mode & 0o777 for role in roles()} == {0o600}


def _check(name: str, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [binary(), "-t", "-c", ROOT / "deploy" / "nats" / name],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


# --- what every role can do ---


async def test_nobody_gets_in_without_a_key_of_the_server(
    guarded: GuardedServer, tmp_path: Path
) -> None:
    stranger = tmp_path / "stranger.nk"
    stranger.write_bytes(new_seed())

    with pytest.raises(BusUnavailable):
        await connect(guarded.url, "client")
    with pytest.raises(BusUnavailable):
        await connect(guarded.url, "encoder", nkey_seed=stranger)


@pytest.mark.parametrize("service", STAGES)
async def test_a_stage_answers_the_gateway_and_is_seen_by_producer_operator_and_controller(
    guarded: GuardedServer, service: str, tmp_path: Path
) -> None:
    async with (
        running(echo(guarded, service, tmp_path)) as worker,
        guarded.connected("gateway") as gateway,
        guarded.connected("operator") as operator,
        guarded.connected("producer") as producer,
        guarded.connected("controller") as controller,
    ):
        samples = await controller.connection.subscribe(subjects.SAMPLES)
        await controller.heard()

        context = RequestContext("r-1", "acme", now_ms() + 5000)
        answer = await Caller(gateway.connection).call(
            STAGES[service]("echo@1"), HealthRequest(), Rejected, context
        )
        ping = await operator.connection.request("$SRV.PING", timeout=2)
        health = await Client(producer.connection).health(window_s=0.5)
        sample = await samples.next_msg(timeout=5)

        assert answer.message.id == service
        assert service.encode() in ping.data
        assert [one.service for one in health] == [service]
        assert sample.subject.startswith(f"trimtab.evt.sample.{service}.")
        refused = [*gateway.refused, *operator.refused, *producer.refused, *controller.refused]
        assert refused == []
        assert worker.link.forbidden == ""


@pytest.mark.parametrize("service", STAGES)
async def test_a_stage_stores_and_fetches_components(
    guarded: GuardedServer, service: str, tmp_path: Path
) -> None:
    folder = tmp_path / "built"
    folder.mkdir()
    (folder / "weights.json").write_text("[1, 2, 3]" * 50_000)
    manifest = write_manifest(folder, name=f"{service}-part", version="1", kind="test")

    async with guarded.connected(service) as stage:
        store = await ArtifactStore.open(stage.connection)
        await store.push(folder)
        fetched = await store.pull(manifest.reference, tmp_path / "cache")

        assert (fetched / "weights.json").read_bytes() == (folder / "weights.json").read_bytes()
        assert stage.refused == []


async def test_the_operator_stores_and_lists_components_and_asks_the_mappers_what_they_serve(
    guarded: GuardedServer, tmp_path: Path
) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "bundle.json").write_text("{}" * 70_000)
    manifest = write_manifest(folder, name="operators-rules", version="1", kind="test")
    mapper = build_mapper(deployment(guarded, "mapper", tmp_path), MapperSettings())

    async with running(mapper), guarded.connected("operator") as operator:
        store = await ArtifactStore.open(operator.connection)
        await store.push(folder)
        listed = {each.reference for each in await store.manifests()}
        read = await store.file(manifest, "bundle.json")
        (told,) = await Caller(operator.connection).gather(
            subjects.MAPPERS, MappersRequest(), MapperState, window_s=30, expected=1
        )

        assert {"operators-rules@1", "safety-head@1"} <= listed
        assert read == (folder / "bundle.json").read_bytes()
        assert [each.component for each in told.served] == ["safety-head@1"]
        assert operator.refused == []
    assert mapper.link.forbidden == ""


async def test_the_controller_writes_the_state_that_every_worker_reads(
    guarded: GuardedServer, tmp_path: Path
) -> None:
    controller = build_controller(deployment(guarded, "controller", tmp_path), ControllerSettings())

    async with running(controller):
        for role in ("encoder", "retriever", "reranker", "mapper", "gateway", "operator"):
            async with guarded.connected(role) as worker:
                controls = await (await ControlStore.open(worker.connection)).read()

                assert controls.release.name == "base"
                assert worker.refused == []
        async with guarded.connected("operator") as operator:
            status = await Client(operator.connection).status()

    assert [worker.service for worker in status.workers] == ["controller"]
    assert controller.link.forbidden == ""


async def test_the_gateway_writes_passages_and_the_retriever_reads_them(
    guarded: GuardedServer,
) -> None:
    subject = subjects.document("secured", "ab12")

    async with guarded.connected("gateway") as gateway, guarded.connected("retriever") as retriever:
        js = gateway.connection.jetstream()
        await ensure(js, docs_stream())
        await js.publish(subject, b"passage", stream=subjects.DOCS_STREAM)
        stored = await js.get_last_msg(subjects.DOCS_STREAM, subject)
        feed = Feed(retriever.connection, logs.get("retriever", "r1"))
        batches = feed.batches((await feed.stream()).identity, 0)
        async with asyncio.timeout(10):
            batch = await anext(batches)
        await batches.aclose()

        assert stored.data == b"passage"
        assert [message.data for message in batch] == [b"passage"]
        assert gateway.refused + retriever.refused == []


async def test_the_gateway_keeps_explanations_that_the_operator_reads(
    guarded: GuardedServer,
) -> None:
    explanation = cast("Explanation", examples()["Explanation"])

    async with guarded.connected("gateway") as gateway, guarded.connected("operator") as operator:
        explanations = Explanations(gateway.connection)
        await explanations.open()
        await explanations.store(explanation)
        found = await Client(operator.connection).explanation(
            explanation.request_id, tenant=explanation.tenant
        )
        newest = await Explanations(operator.connection).newest(since=0.0, most=10)
        later = await Explanations(operator.connection).newest(explanation.at + 1.0, most=10)

        assert found == explanation
        assert (newest, later) == (Newest([explanation], 0), Newest([], 0))
        assert gateway.refused + operator.refused == []


async def test_a_job_goes_its_whole_way_with_each_role_doing_its_own_part(
    guarded: GuardedServer, tmp_path: Path
) -> None:
    async with (
        guarded.connected("controller") as controller,
        guarded.connected("producer") as producer,
        guarded.connected("gateway") as gateway,
        guarded.connected("operator") as operator,
    ):
        await ensure_jobs(controller.connection.jetstream())
        done = asyncio.Event()

        async def perform(call: MapCall, context: RequestContext) -> MapAnswer:
            if call.detector == "broken":
                raise NotReady("a mapper")
            return cast("MapAnswer", examples()["MapAnswer"])

        runner = JobRunner(
            gateway.connection,
            {JobKind.MAP: Verb(perform, 1000)},
            Patience(1, 0.01),
            logs.get("gateway", "g1"),
        )
        pull = JobPull(gateway.connection, runner.work, 2, Door(lambda: True, done.is_set))
        pull.start()
        client, jobs = Client(producer.connection), Jobs(gateway.connection)
        good = await client.submit(MapCall(output="hate", detector="d"))
        bad = await client.submit(MapCall(output="hate", detector="broken"))
        public = RequestContext("r-1", "public", now_ms() + 60_000)
        async with asyncio.timeout(60):
            records = [await _final(jobs, job, public) for job in (good, bad)]
        backlog = await JobLag(gateway.connection, {}).look()
        dead = Client(operator.connection).dead_letters
        [letter] = await dead.oldest(10)
        await pull.stop(10)
        again = await dead.replay(letter.key)
        waiting = await Client(operator.connection).jobs.oldest(10)
        purged = await dead.purge()

        refused = controller.refused + producer.refused + gateway.refused + operator.refused
        assert [record.state for record in records] == [JobState.DONE, JobState.DEAD]
        assert (backlog.pending, backlog.ack_pending, backlog.dead) == (0, 0, 1)
        assert (letter.id, again.replay, waiting, purged) == (bad, 1, [again], 0)
        assert refused == []


async def _final(jobs: Jobs, job: str, context: RequestContext) -> JobRecord:
    while True:
        record = await jobs.status(JobQuery(id=job), context)
        if record.state is not JobState.PENDING:
            return record
        await asyncio.sleep(0.01)


async def test_gateways_share_answers_by_idempotency_key(guarded: GuardedServer) -> None:
    async with guarded.connected("gateway") as first, guarded.connected("gateway") as second:
        named = Named("k-1", ("acme", "map"), b"{}", 5.0)

        async def make() -> Response:
            return Response(b"[1]", 200)

        async def never() -> Response:
            raise NotReady("nobody asks twice")

        answers = [
            await Replays(first.connection, 60).once(named, make),
            await Replays(second.connection, 60).once(named, never),
        ]

        assert [bytes(answer.body) for answer in answers] == [b"[1]", b"[1]"]
        assert answers[1].headers["Idempotency-Replayed"] == "true"
        assert first.refused + second.refused == []


async def test_the_gateway_begins_collections_and_asks_a_retriever_for_an_articles_passages(
    guarded: GuardedServer,
) -> None:
    record, asked = subjects.collection_record("begun"), subjects.passages("x@1")

    async with guarded.connected("gateway") as gateway, guarded.connected("retriever") as retriever:
        js = gateway.connection.jetstream()
        await ensure(js, docs_stream())
        await js.publish(record, b"record", stream=subjects.DOCS_STREAM)
        received = await retriever.connection.subscribe(asked, "retriever")
        await retriever.heard()
        asking = asyncio.create_task(gateway.connection.request(asked, b"ids?", timeout=10))
        question = await received.next_msg(timeout=10)
        await retriever.publish(question.reply, b"ids")

        assert (await asking).data == b"ids"
        assert gateway.refused + retriever.refused == []


@pytest.mark.parametrize("role", ["producer", "operator"])
@pytest.mark.parametrize("subject", [subjects.DOCUMENTS_DELETE, subjects.DOCUMENTS_GET])
async def test_producers_and_operators_delete_and_read_through_the_gateway(
    guarded: GuardedServer, role: str, subject: str
) -> None:
    async with guarded.connected("gateway") as gateway, guarded.connected(role) as asker:
        received = await gateway.connection.subscribe(subject, "gateway")
        await gateway.heard()
        asking = asyncio.create_task(asker.connection.request(subject, b"gone?", timeout=10))
        question = await received.next_msg(timeout=10)
        await gateway.publish(question.reply, b"gone")

        assert (await asking).data == b"gone"
        assert gateway.refused + asker.refused == []


async def test_the_operator_tells_the_controller_of_an_evaluation_and_hears_of_all_that_are_kept(
    guarded: GuardedServer, tmp_path: Path
) -> None:
    told = msgspec.structs.replace(
        cast("Evaluation", examples()["Evaluation"]), at=time.time(), release="told"
    )
    controller = build_controller(deployment(guarded, "controller", tmp_path), ControllerSettings())
    async with running(controller), guarded.connected("operator") as operator:
        recorded = await operator.connection.subscribe(subjects.EVALUATION)
        await operator.heard()
        reply = await Client(operator.connection).tell(told)
        event = await recorded.next_msg(timeout=10)

        assert reply.kept
        assert decode(Evaluation, event.data) == told
        assert operator.refused == []
    assert controller.link.forbidden == ""


async def test_the_operator_can_ask_what_the_doctor_asks(guarded: GuardedServer) -> None:
    async with guarded.connected("gateway") as gateway, guarded.connected("encoder") as encoder:
        await ensure(gateway.connection.jetstream(), docs_stream())
        await ArtifactStore.open(encoder.connection)

    async with guarded.connected("operator") as operator:
        js = operator.connection.jetstream(timeout=2)
        account = await js.account_info()
        infos = [await js.stream_info(subjects.DOCS_STREAM)]
        infos.append(await js.stream_info(f"OBJ_{subjects.ARTIFACT_BUCKET}"))

        assert account.streams >= len(infos) == 2
        assert operator.refused == []


async def test_the_operator_hears_the_samples_that_it_may_record(guarded: GuardedServer) -> None:
    async with guarded.connected("operator") as operator, guarded.connected("encoder") as encoder:
        heard = await operator.connection.subscribe(subjects.SAMPLES)
        await operator.connection.flush()
        sample = None
        async with asyncio.timeout(30):
            while sample is None:  # said once a second, as samples are: one may meet a reconnect
                await encoder.connection.publish(subjects.sample("encoder", "e1"), b"sample")
                with contextlib.suppress(nats.errors.TimeoutError):
                    sample = await heard.next_msg(timeout=1)

        assert sample.data == b"sample"
        assert operator.refused == []


MEASURED = {
    "encoder": subjects.encode,
    "retriever": subjects.inspect,
    "reranker": subjects.rerank,
}


@pytest.mark.parametrize("service", MEASURED)
async def test_the_operator_asks_the_stages_that_it_measures_and_gets_the_answer_itself(
    guarded: GuardedServer, service: str
) -> None:
    subject = MEASURED[service]("x@1")
    async with guarded.connected(service) as stage, guarded.connected("operator") as operator:
        received = await stage.connection.subscribe(subject, service)
        await stage.heard()
        asking = asyncio.create_task(operator.connection.request(subject, b"facts?", timeout=10))
        question = await received.next_msg(timeout=10)
        await stage.publish(question.reply, b"facts")

        assert (await asking).data == b"facts"
        assert stage.refused + operator.refused == []


# --- what no role can do ---


_PUBLISH = [
    ("encoder", STATE),
    ("encoder", "trimtab.evt.sample.retriever.r1"),
    ("encoder", subjects.retrieve("x@1")),
    ("encoder", subjects.document("stdlib", "ab12")),
    ("encoder", subjects.STATUS),
    ("encoder", subjects.collection_record("stdlib")),
    ("encoder", subjects.DOCUMENTS_DELETE),
    ("retriever", subjects.collection_record("stdlib")),
    ("producer", subjects.collection_record("stdlib")),
    ("producer", subjects.passages("x@1")),
    ("operator", subjects.collection_record("stdlib")),
    ("retriever", STATE),
    ("retriever", subjects.encode("x@1")),
    ("retriever", subjects.document("stdlib", "ab12")),
    ("reranker", STATE),
    ("mapper", STATE),
    ("mapper", subjects.SEARCH),
    ("gateway", STATE),
    ("gateway", subjects.sample("encoder", "e1")),
    ("gateway", f"$O.{subjects.ARTIFACT_BUCKET}.C.x"),
    ("controller", subjects.encode("x@1")),
    ("controller", subjects.document("stdlib", "ab12")),
    ("producer", STATE),
    ("producer", subjects.encode("x@1")),
    ("producer", subjects.inspect("x@1")),
    ("producer", subjects.sample("encoder", "e1")),
    ("producer", subjects.STATUS),
    ("producer", subjects.PROBE_SEARCH),
    ("producer", subjects.PROBE_MAP),
    ("producer", subjects.document("stdlib", "ab12")),
    ("producer", f"$JS.API.STREAM.MSG.GET.{subjects.EXPLAIN_STREAM}"),
    ("producer", subjects.explanation("ab12")),
    ("gateway", f"$JS.API.STREAM.MSG.GET.{subjects.EXPLAIN_STREAM}"),
    ("operator", subjects.explanation("ab12")),
    ("retriever", subjects.explanation("ab12")),
    ("encoder", subjects.job("map", "normal", "ab12")),
    ("controller", subjects.job("map", "normal", "ab12")),
    ("producer", subjects.result("ab12")),
    ("producer", subjects.dead_letter("ab12")),
    ("producer", f"$JS.API.STREAM.MSG.GET.{subjects.JOBS_STREAM}"),
    ("producer", f"$JS.API.STREAM.MSG.GET.{subjects.RESULTS_STREAM}"),
    ("producer", f"$JS.API.CONSUMER.MSG.NEXT.{subjects.JOBS_STREAM}.gateway_normal"),
    ("operator", subjects.result("ab12")),
    ("operator", f"$JS.API.STREAM.PURGE.{subjects.JOBS_STREAM}"),
    # A consumer of its own could deliver payloads to a subject of the gateway's choice.
    ("gateway", f"$JS.API.CONSUMER.CREATE.{subjects.JOBS_STREAM}.mine"),
    ("gateway", f"$JS.API.CONSUMER.DURABLE.CREATE.{subjects.JOBS_STREAM}.mine"),
    ("gateway", f"$JS.API.STREAM.MSG.GET.{subjects.DLQ_STREAM}"),
    ("gateway", f"$JS.API.STREAM.PURGE.{subjects.DLQ_STREAM}"),
    ("controller", f"$JS.API.CONSUMER.MSG.NEXT.{subjects.JOBS_STREAM}.gateway_normal"),
    ("operator", subjects.HEARTBEAT),
    ("operator", subjects.EVALUATION),
    ("operator", f"$KV.{subjects.EVALUATION_BUCKET}.{subjects.EVALUATION_KEY}"),
    ("producer", subjects.EVALUATE),
    ("operator", subjects.mapping("x@1")),
    ("operator", subjects.document("stdlib", "ab12")),
    *[
        (role, f"$JS.API.STREAM.{verb}.{stream}")
        for role in (*SERVICES, "producer", "operator")
        for verb, stream in (
            ("DELETE", subjects.DOCS_STREAM),
            ("DELETE", subjects.EXPLAIN_STREAM),
            ("DELETE", f"KV_{subjects.CONTROL_BUCKET}"),
            ("UPDATE", f"KV_{subjects.CONTROL_BUCKET}"),
            ("MSG.DELETE", subjects.DOCS_STREAM),
            ("CREATE", "ANYTHING"),
        )
    ],
]


@pytest.mark.parametrize(("role", "subject"), _PUBLISH)
async def test_a_role_cannot_publish_what_is_not_its_work(
    guarded: GuardedServer, role: str, subject: str
) -> None:
    async with guarded.connected(role) as someone:
        refused = await someone.publish(subject)

    assert len(refused) == 1
    assert f'publish to "{subject.lower()}"' in refused[0]


@pytest.mark.parametrize("role", [*SERVICES, "producer", "operator"])
@pytest.mark.parametrize(
    "subject", [">", "_INBOX.>", "_INBOX_gateway.x.>", "trimtab.>", "$JS.>", "$KV.>"]
)
async def test_a_role_cannot_listen_in(guarded: GuardedServer, role: str, subject: str) -> None:
    if subject.startswith(f"_INBOX_{role}."):
        subject = "_INBOX_encoder.x.>"

    async with guarded.connected(role) as someone:
        refused = await someone.subscribe(subject)

    assert len(refused) == 1
    assert f'subscription to "{subject.lower()}"' in refused[0]


@pytest.mark.parametrize("service", STAGES)
@pytest.mark.parametrize("queue", ["", "strangers"])
async def test_a_stage_cannot_be_joined_or_overheard_under_another_queue_name(
    guarded: GuardedServer, service: str, queue: str
) -> None:
    async with guarded.connected(service) as stage:
        refused = await stage.subscribe(STAGES[service]("x@1"), queue)

    assert len(refused) == 1


async def test_a_stage_cannot_answer_in_another_stages_place(guarded: GuardedServer) -> None:
    async with guarded.connected("encoder") as encoder:
        refused = await encoder.subscribe(subjects.mapping("x@1"), "mapper")

    assert len(refused) == 1


async def test_a_worker_answers_a_request_once(guarded: GuardedServer, tmp_path: Path) -> None:
    async with guarded.connected("encoder") as encoder, guarded.connected("gateway") as gateway:
        received = await encoder.connection.subscribe(subjects.encode("x@1"), "encoder")
        await encoder.heard()
        inbox = await gateway.connection.subscribe(gateway.connection.new_inbox())
        await gateway.publish(subjects.encode("x@1"), reply=inbox.subject)
        message = await received.next_msg(timeout=5)

        first = list(await encoder.publish(message.reply, b"once"))
        second = list(await encoder.publish(message.reply, b"twice"))

    assert first == []
    assert len(second) == 1


@pytest.mark.parametrize(
    "role", ["encoder", "retriever", "reranker", "mapper", "gateway", "operator"]
)
async def test_a_borrowed_reply_of_jetstream_never_makes_a_state_of_the_borrowers_choice(
    guarded: GuardedServer, role: str, tmp_path: Path
) -> None:
    controller = build_controller(deployment(guarded, "controller", tmp_path), ControllerSettings())
    async with running(controller), guarded.connected("controller") as owner:
        store = await ControlStore.open(owner.connection)
        bucket = store.bucket
        good = await bucket.get(subjects.CONTROL_KEY)
        reference = ControlFeed(
            "test", "test-0", logs.get("test", "test-0"), tmp_path / "remembered"
        )
        await reference.start(owner.connection)
        async with guarded.connected(role) as borrower:
            api = f"$JS.API.STREAM.INFO.KV_{subjects.CONTROL_BUCKET}"
            await borrower.publish(api, b"", reply=STATE)
        await owner.heard()

        with pytest.raises(InvalidMessage):
            await store.read()
        assert reference.required.release.name == "base"
        await bucket.put(subjects.CONTROL_KEY, good.value or b"")
