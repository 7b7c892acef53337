"""A retriever worker over a real nats-server: passages from the stream, candidates to the caller."""

import asyncio
from pathlib import Path

import msgspec
import numpy as np
import pytest
from nats.aio.client import Client as NatsClient

from tests.unit.retriever import stream
from tests.unit.retriever.corpora import clustered, token_rows, unit
from tests.workers import running
from trimtab.bus.caller import Caller
from trimtab.bus.local_server import LocalServer
from trimtab.contracts import subjects
from trimtab.contracts.encode import TokenVectors
from trimtab.contracts.errors import RemoteError
from trimtab.contracts.retrieve import ScoreReply, ScoreRequest
from trimtab.contracts.samples import Readiness
from trimtab.contracts.tensor import Matrix
from trimtab.telemetry.metrics import REGISTRY

pytestmark = pytest.mark.integration

RNG = np.random.default_rng(0)
VECTORS = clustered(RNG, 60, 6)


def metric(name: str, **labels: str) -> float:
    """Return a series of this process, 0 before its first value."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_what_was_in_the_stream_before_is_searchable_when_the_worker_is_ready(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    passages = [stream.message(f"p{i}", vector) for i, vector in enumerate(VECTORS)]
    last = await stream.write(connection, passages)

    async with running(stream.worker(nats_server, tmp_path)) as worker:
        answer = await stream.ask(connection, VECTORS[7], limit=5)

    expected = np.argsort(-(VECTORS @ VECTORS[7]))[:5]
    assert [hit.id for hit in answer.message.hits] == [f"p{i}" for i in expected]
    assert answer.message.index == f"docs@{last}"
    assert answer.component == "hybrid@1"
    facts = worker.identity.facts
    assert (facts["passages"], facts["applied_sequence"], facts["index.docs"]) == (60, last, "flat")
    assert set(worker.identity.components) == {"hybrid@1"}


async def test_a_passage_written_while_the_worker_runs_is_found_by_vector_and_by_words(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    new = unit(RNG, 1)[0]
    async with running(stream.worker(nats_server, tmp_path)) as worker:
        await stream.write(connection, [stream.message("old", VECTORS[0])])
        last = await stream.write(connection, [stream.message("new", new, text="shutil.copytree")])
        await stream.applied(worker, last)

        assert (await stream.found(connection, new))[0] == "new"
        async with asyncio.timeout(5):
            while True:
                reply = (await stream.ask(connection, VECTORS[0], text="copytree")).message
                assert reply.signals is not None
                scores = dict(
                    zip([h.id for h in reply.hits], reply.signals.bm25.array()[0], strict=True)
                )
                if scores["new"] > 0 and scores["old"] == 0:
                    break
                await asyncio.sleep(0.01)


async def test_a_replacement_takes_the_place_of_the_old_content(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    await stream.write(connection, [stream.message("p", VECTORS[0], text="first")])
    async with running(stream.worker(nats_server, tmp_path)) as worker:
        last = await stream.write(connection, [stream.message("p", VECTORS[1], text="second")])
        await stream.applied(worker, last)

        reply = (await stream.ask(connection, VECTORS[1])).message

        assert [(hit.id, hit.text) for hit in reply.hits] == [("p", "second")]
        assert worker.identity.facts["passages"] == 1


async def test_tenants_see_their_own_and_public_passages_only(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    owners = ["public", "acme", "globex"] * 20
    await stream.write(
        connection,
        [
            stream.message(f"p{i}", VECTORS[i], tenant=owner, text="secret words")
            for i, owner in enumerate(owners)
        ],
    )
    async with running(stream.worker(nats_server, tmp_path)):
        for tenant in ("acme", "globex", "stranger", "public"):
            answer = await stream.ask(
                connection, VECTORS[2], tenant=tenant, text="secret", limit=60
            )
            seen = {hit.tenant for hit in answer.message.hits}
            assert seen <= {tenant, "public"}
            assert len(answer.message.hits) == (40 if tenant in ("acme", "globex") else 20)


async def test_requests_that_cannot_be_answered_get_typed_errors_and_the_worker_lives(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    await stream.write(connection, [stream.message("p", VECTORS[0])])

    async with running(stream.worker(nats_server, tmp_path)):
        errors = []
        for arguments in (
            {"collection": "unknown"},
            {"namespace": "single_vector.other.16.v1"},
            {"vector": unit(RNG, 1, 24)[0]},
            {"vector": VECTORS[0] * 2},
        ):
            with pytest.raises(RemoteError) as caught:
                await stream.ask(connection, **{"vector": VECTORS[0], **arguments})
            errors.append((caught.value.error, caught.value.status))
        garbage = await connection.request(
            stream.RETRIEVE, b"\xc1garbage", headers=stream.context().wire(), timeout=5
        )

        assert errors == [
            ("UnknownCollection", 404),
            ("NamespaceMismatch", 422),
            ("DimensionMismatch", 422),
            ("InvalidMessage", 422),
        ]
        assert (garbage.headers or {})["Nats-Service-Error"] == "InvalidMessage"
        assert await stream.found(connection, VECTORS[0]) == ["p"]


async def test_unknown_collection_names_the_known_ones(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    await stream.write(connection, [stream.message("p", VECTORS[0], collection="manuals")])
    async with running(stream.worker(nats_server, tmp_path)):
        with pytest.raises(RemoteError, match="known: manuals"):
            await stream.ask(connection, VECTORS[0], collection="docs")


async def test_messages_that_are_no_passages_are_skipped_and_counted(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    first = stream.message("p0", VECTORS[0])
    bad = [
        stream.message("n", VECTORS[1], namespace="single_vector.other.16.v1"),
        stream.message("d", unit(RNG, 1, 24)[0]),
        msgspec.structs.replace(
            stream.message("u", VECTORS[2]), vector=Matrix.of(VECTORS[2:3] * 3)
        ),
    ]
    await stream.write(connection, [first, *bad])
    js = connection.jetstream()
    await js.publish(subjects.document("docs", "k"), b"\xc1", stream=subjects.DOCS_STREAM)
    last = await stream.write(connection, [stream.message("p1", VECTORS[3])])

    async with running(stream.worker(nats_server, tmp_path)) as worker:
        facts = worker.identity.facts
        assert (facts["applied_sequence"], facts["passages"]) == (last, 2)
        assert facts["refused_passages"] == 4
        assert set(await stream.found(connection, VECTORS[0])) == {"p0", "p1"}


async def test_what_a_worker_takes_in_and_how_alike_its_first_results_are_stands_in_its_metrics(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    name = "alike"
    copies = [stream.message(f"p{n}", VECTORS[0], collection=name) for n in range(3)]
    await stream.write(connection, copies)
    before = metric("retriever_top_five_cosine_count", component="hybrid@1")
    total = metric("retriever_top_five_cosine_sum", component="hybrid@1")

    async with running(stream.worker(nats_server, tmp_path)) as worker:
        await stream.ask(connection, VECTORS[0], collection=name)
        gone = await stream.write(connection, [stream.gone("p2", collection=name)])
        await stream.applied(worker, gone)

    assert metric("retriever_top_five_cosine_count", component="hybrid@1") == before + 1
    likeness = metric("retriever_top_five_cosine_sum", component="hybrid@1") - total
    assert likeness == pytest.approx(1.0, abs=1e-3)
    assert metric("retriever_passages_upserted_total", collection=name) == 3
    assert metric("retriever_passages_removed_total", collection=name) == 1


async def test_nothing_found_and_nothing_near_are_counted_as_bad_events(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    await stream.write(connection, [stream.message("p", VECTORS[0], tenant="acme")])
    async with running(stream.worker(nats_server, tmp_path)) as worker:
        empty = await stream.ask(connection, VECTORS[0], tenant="globex")
        await stream.ask(connection, -VECTORS[0], tenant="acme")

        assert empty.message.hits == []
        assert empty.message.signals is None
        bad = {}
        for endpoint in worker.sampler.peek(0).endpoints:
            bad.update(endpoint.bad)
        assert bad == {"empty_result": 1, "low_cosine": 1}


async def test_loose_texts_are_scored_in_the_order_sent(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    tokens = token_rows(RNG, 9)
    query_tokens = token_rows(RNG, 3)
    request = ScoreRequest(
        text="copy a tree",
        vector=Matrix.of(VECTORS[:1]),
        tokens=TokenVectors(matrix=Matrix.of(query_tokens), counts=[3]),
        documents=["nothing here", "copy a tree", "that tree"],
        document_vectors=Matrix.of(VECTORS[1:4]),
        document_tokens=TokenVectors(matrix=Matrix.of(tokens), counts=[4, 0, 5]),
    )
    async with running(stream.worker(nats_server, tmp_path)):
        caller = Caller(connection)
        subject = subjects.score("hybrid@1")
        answer = await caller.call(subject, request, ScoreReply, stream.context())

    signals = answer.message.signals
    assert signals.cosine.array()[0] == pytest.approx(VECTORS[1:4] @ VECTORS[0], abs=1e-5)
    bm25 = signals.bm25.array()[0].tolist()
    assert bm25[1] > bm25[2] > bm25[0] == 0.0
    assert signals.maxsim is not None
    assert signals.maxsim.array()[0, 1] == 0.0
    assert signals.articles == [0, 1, 2]
    assert (signals.gram.rows, signals.gram.dim) == (3, 3)


async def test_a_pool_of_long_passages_is_cut_to_what_one_message_can_carry(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    await stream.write(
        connection,
        [stream.message(f"p{i}", VECTORS[i], text="long " * 6000) for i in range(60)],
    )
    async with running(stream.worker(nats_server, tmp_path)) as worker:
        answer = await stream.ask(connection, VECTORS[0], limit=60)

        assert 20 <= len(answer.message.hits) < 60
        assert worker.sampler.peek(0).endpoints[0].bad == {"pool_trimmed": 1}


async def test_searches_go_on_while_passages_stream_in(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    many = clustered(RNG, 600, 20)
    async with running(stream.worker(nats_server, tmp_path)) as worker:
        await stream.write(connection, [stream.message("p0", many[0])])
        await stream.applied(worker, 1)
        writing = asyncio.create_task(
            stream.write(connection, [stream.message(f"p{i}", many[i]) for i in range(1, 600)])
        )
        answers = 0
        while not writing.done():
            assert (await stream.found(connection, many[0]))[0] == "p0"
            answers += 1
        await stream.applied(worker, await writing)

        assert answers > 0
        assert worker.identity.readiness == Readiness.READY
        assert (await stream.found(connection, many[599]))[0] == "p599"
