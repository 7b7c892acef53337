"""Promise: whatever is sent to a service, it answers with a typed error at once, and lives."""

import nats
import pytest
from nats.aio.client import Client as NatsClient

from tests.deployments import Deployment
from tests.drills import abuse, record
from tests.drills.asking import context, until
from trimtab.bus.caller import Caller
from trimtab.client import Client
from trimtab.contracts import headers as names
from trimtab.contracts import subjects
from trimtab.contracts.encode import EncodeReply, EncodeRequest
from trimtab.contracts.errors import ErrorReply, MessageTooLarge
from trimtab.contracts.message import decode, encode

pytestmark = pytest.mark.drill

BUDGET_MS = 30_000


async def refusal(
    connection: NatsClient, subject: str, body: bytes, headers: dict[str, str] | None
) -> tuple[int, str]:
    """Send anything and return status and error name; (200, "") when it was answered."""
    reply = await connection.request(subject, body, timeout=BUDGET_MS / 1000, headers=headers)
    told = reply.headers or {}
    if names.ERROR not in told:
        return 200, ""
    error = decode(ErrorReply, reply.data)
    assert error.error == told[names.ERROR]
    assert error.detail
    return int(told[names.ERROR_CODE]), error.error


async def alive(deployment: Deployment) -> dict[str, float]:
    """Return when each worker started: the same numbers mean the same processes."""
    samples = await deployment.fleet.ready()
    return {sample.instance: sample.started_at for sample in samples}


@pytest.mark.parametrize("subject", abuse.GOOD)
async def test_bytes_that_are_no_request_are_refused_as_the_callers_fault(
    deployment: Deployment, client: Client, subject: str
) -> None:
    before = await alive(deployment)
    good = abuse.GOOD[subject]

    refusals = [
        await refusal(client.connection, subject, body, context(BUDGET_MS).wire())
        for body in abuse.senseless(good)
    ]
    answered = await refusal(client.connection, subject, encode(good), context(BUDGET_MS).wire())

    if subject != subjects.STATUS:  # its request has no fields: an empty map is one
        assert set(refusals) == {(422, "InvalidMessage")}
    assert {status for status, _ in refusals} <= {200, 422}
    assert answered == (200, "")
    assert await alive(deployment) == before


@pytest.mark.parametrize("subject", abuse.GOOD)
async def test_headers_without_sense_are_refused_as_the_callers_fault(
    client: Client, subject: str
) -> None:
    body = encode(abuse.GOOD[subject])

    refusals = {
        await refusal(client.connection, subject, body, headers)
        for headers in abuse.headless(context(BUDGET_MS).wire())
    }

    assert refusals == {(422, "InvalidMessage")}


async def test_requests_without_meaning_get_the_error_that_says_why(
    deployment: Deployment, client: Client
) -> None:
    before = await alive(deployment)
    cases = list(abuse.meaningless())

    told = [
        await refusal(
            client.connection, case.subject, encode(case.request), context(BUDGET_MS).wire()
        )
        for case in cases
    ]

    assert told == [(case.status, case.error) for case in cases]
    assert await alive(deployment) == before
    record.write("garbage", meaningless=len(cases), verbs=len(abuse.GOOD))


async def test_an_oversized_message_is_refused_by_its_sender_and_disturbs_nobody(
    deployment: Deployment, client: Client
) -> None:
    before = await alive(deployment)
    limit = client.connection.max_payload
    subject = subjects.encode("minilm-int8@1")
    huge = EncodeRequest(namespace=abuse.SPACE, texts=["x" * limit])
    rude = await nats.connect(deployment.nats_url, allow_reconnect=False)

    with pytest.raises(MessageTooLarge):
        await Caller(client.connection).call(subject, huge, EncodeReply, context(BUDGET_MS))
    # A sender without that check: the server counts the headers too, and hangs up on it alone.
    await rude.publish(subject, b"x" * (limit - 16), headers=context(BUDGET_MS).wire())
    await until(lambda: rude.is_closed)

    assert client.connection.is_connected
    assert not client.connection.stats["reconnects"]
    assert await alive(deployment) == before
