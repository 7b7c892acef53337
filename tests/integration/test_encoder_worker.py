"""An encoder worker over a real nats-server: real model, typed errors, and it lives through garbage."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from nats.aio.client import Client as NatsClient

from services.encoder.app import build
from services.encoder.component import ComponentBackend
from services.encoder.settings import EncoderSettings
from services.encoder.shipped import DEFAULT
from services.encoder.spec import MINILM
from tests.integration import encoder_models
from tests.workers import deployment, running
from trimtab.artifacts.manifest import read_manifest
from trimtab.artifacts.store import ArtifactStore
from trimtab.bus.caller import Answer, Caller
from trimtab.bus.local_server import LocalServer
from trimtab.contracts import subjects
from trimtab.contracts.encode import EncodeReply, EncodeRequest, Overflow
from trimtab.contracts.errors import ErrorCode, NoWorkers, RemoteError
from trimtab.contracts.headers import ERROR, ERROR_CODE, RequestContext, now_ms
from trimtab.contracts.samples import Readiness
from trimtab.worker.service import Worker

pytestmark = pytest.mark.integration

SUBJECT = subjects.encode(DEFAULT)


@pytest.fixture(scope="module")
def backend() -> ComponentBackend:
    """The model itself; loaded before a connection is open, which a blocked loop would lose."""
    return encoder_models.backend(DEFAULT)


@pytest.fixture
async def worker(
    backend: ComponentBackend, nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> AsyncIterator[Worker]:
    """A worker that pulls the component which others built: nothing is built here."""
    store = await ArtifactStore.open(connection)
    await store.push(encoder_models.folder(DEFAULT))
    async with running(build(deployment(nats_server, tmp_path), EncoderSettings())) as worker:
        yield worker


def _context() -> RequestContext:
    return RequestContext("r1", "public", now_ms() + 20_000, release="base")


async def _ask(
    connection: NatsClient,
    *texts: str,
    namespace: str = MINILM,
    overflow: Overflow = "truncate",
    tokens: bool = False,
) -> Answer[EncodeReply]:
    request = EncodeRequest(
        namespace=namespace, texts=list(texts), overflow=overflow, tokens=tokens
    )
    return await Caller(connection).call(SUBJECT, request, EncodeReply, _context())


async def test_texts_come_back_as_the_models_vectors(
    backend: ComponentBackend, worker: Worker, connection: NatsClient
) -> None:
    texts = ["How do I copy a directory tree?", "rotate the signing keys"]

    answer = await _ask(connection, *texts, tokens=True)

    expected = backend.encode(backend.tokenize(texts), tokens=True)
    np.testing.assert_array_equal(answer.message.vectors.array(), expected.vectors)
    assert answer.message.tokens is not None
    assert expected.tokens is not None
    assert answer.message.tokens.counts == answer.message.token_counts == [10, 6]
    np.testing.assert_array_equal(
        answer.message.tokens.matrix.array(), np.concatenate(expected.tokens)
    )
    assert (answer.component, answer.instance) == (DEFAULT, worker.identity.instance)


async def test_it_says_what_it_serves_and_that_its_norms_were_proved(
    worker: Worker, connection: NatsClient
) -> None:
    await _ask(connection, "alpha")

    folder = encoder_models.folder(DEFAULT)
    assert worker.identity.components == {DEFAULT: read_manifest(folder).hash}
    facts = worker.identity.facts
    assert (facts["namespace"], facts["dimension"], facts["max_tokens"]) == (MINILM, 384, 256)
    assert float(facts["mean_norm"]) == pytest.approx(1.0, abs=1e-5)
    assert float(facts["probe_norm"]) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    ("texts", "namespace", "code", "error"),
    [
        (["fine", " "], MINILM, ErrorCode.INVALID, "InvalidText"),
        ([""], MINILM, ErrorCode.INVALID, "InvalidText"),
        (["\u200b"], MINILM, ErrorCode.INVALID, "InvalidText"),
        (["word " * 300], MINILM, ErrorCode.INVALID, "TokenBudgetExceeded"),
        (["fine"], "single_vector.other.768.v1", ErrorCode.NOT_FOUND, "UnknownNamespace"),
    ],
    ids=["blank", "empty", "dropped-characters", "over-long", "namespace"],
)
async def test_what_cannot_be_encoded_gets_a_typed_error(
    worker: Worker,
    connection: NatsClient,
    texts: list[str],
    namespace: str,
    code: ErrorCode,
    error: str,
) -> None:
    with pytest.raises(RemoteError) as refusal:
        await _ask(connection, *texts, namespace=namespace, overflow="reject")

    assert (refusal.value.code, refusal.value.error) == (code, error)
    assert not refusal.value.retryable
    assert "word" not in refusal.value.detail.replace("words", "")
    assert worker.identity.readiness == Readiness.READY


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe garbage",
        b"\x81\xa5texts\xc0",
        b"\x82\xa9namespace\xa1n\xa5texts\x91\xa2\xff\xfe",
    ],
    ids=["empty", "garbage", "not-a-list", "not-utf-8"],
)
async def test_bytes_that_are_no_request_get_a_typed_error_and_the_worker_lives(
    worker: Worker, connection: NatsClient, body: bytes
) -> None:
    reply = await connection.request(SUBJECT, body, timeout=5, headers=_context().wire())

    assert reply.headers is not None
    assert (reply.headers[ERROR], reply.headers[ERROR_CODE]) == ("InvalidMessage", "422")
    assert len((await _ask(connection, "still here")).message.token_counts) == 1
    assert worker.identity.readiness == Readiness.READY


async def test_an_over_long_text_is_truncated_by_default_and_counted(
    worker: Worker, connection: NatsClient
) -> None:
    reply = (await _ask(connection, "word " * 300, "short")).message

    assert (reply.truncated, reply.token_counts) == (1, [256, 3])
    with urlopen(f"http://127.0.0.1:{worker.identity.facts['http_port']}/metrics") as answer:  # noqa: ASYNC210
        exported = answer.read().decode()
    assert f'encoder_token_overflow_total{{component="{DEFAULT}",policy="truncate"}}' in exported
    assert f'encoder_mean_norm_ratio{{component="{DEFAULT}"}} 1.0' in exported


async def test_a_second_request_for_the_same_text_is_a_cache_hit(
    worker: Worker, connection: NatsClient
) -> None:
    first = (await _ask(connection, "alpha", "beta")).message
    second = (await _ask(connection, "beta", "alpha")).message

    assert (first.cached, second.cached) == (0, 2)
    np.testing.assert_array_equal(second.vectors.array()[::-1], first.vectors.array())
    assert float(worker.identity.facts["cache_hit_ratio"]) > 0


async def test_many_callers_at_once_each_get_their_own_vector(
    backend: ComponentBackend, worker: Worker, connection: NatsClient
) -> None:
    texts = [f"message number {n} was not acknowledged" for n in range(48)]

    answers = await asyncio.gather(*(_ask(connection, text) for text in texts))

    expected = backend.encode(backend.tokenize(texts), tokens=False).vectors
    got = np.concatenate([answer.message.vectors.array() for answer in answers])
    np.testing.assert_array_equal(got, expected)
    assert worker.server.admission.in_flight == 0


async def test_a_long_request_does_not_hold_up_a_short_one(
    worker: Worker, connection: NatsClient
) -> None:
    passages = [f"passage {n}: " + "the consumer acknowledges the message " * 40 for n in range(96)]

    long = asyncio.create_task(_ask(connection, *passages))
    while worker.server.admission.in_flight == 0:
        await asyncio.sleep(0.001)
    await _ask(connection, "a short question")

    assert not long.done()
    assert len((await long).message.token_counts) == len(passages)


async def test_a_component_that_nobody_serves_is_no_workers(
    worker: Worker, connection: NatsClient
) -> None:
    request = EncodeRequest(namespace=MINILM, texts=["alpha"])

    with pytest.raises(NoWorkers):
        await Caller(connection).call(
            subjects.encode("minilm-fp32@1"), request, EncodeReply, _context()
        )


async def test_a_worker_alone_builds_its_component_and_shares_it(
    backend: ComponentBackend, nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    settings = EncoderSettings(component=DEFAULT)
    async with running(build(deployment(nats_server, tmp_path), settings), timeout_s=240):
        stored = await (await ArtifactStore.open(connection)).manifest(DEFAULT)

    assert stored is not None
    assert backend.profile == stored.name
    assert stored.hash == read_manifest(encoder_models.folder(DEFAULT)).hash
