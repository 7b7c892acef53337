"""One request's calls: never more than a stage can hold, and time left where an answer can do without."""

import asyncio
from typing import Any, cast

from services.gateway.stages import CALLS_AT_ONCE, RESERVE, Stages
from trimtab.bus.caller import RETRIES, Answer, Caller
from trimtab.contracts.component import Release
from trimtab.contracts.control import ControlState, KillLane
from trimtab.contracts.encode import EncodeReply, EncodeRequest
from trimtab.contracts.headers import RequestContext, now_ms
from trimtab.contracts.tensor import Matrix
from trimtab.control.effective import Controls

RELEASE = Release(
    name="base",
    encode="minilm@1",
    retrieve="hybrid@1",
    rerank="mlp@1",
    map="head@1",
    namespace="space.v1",
)
REQUEST = EncodeRequest(namespace="space.v1", texts=["a"])
BUDGET_MS = 60_000


class Recording:
    """A caller that answers on the next turn of the loop and remembers what it was asked."""

    def __init__(self) -> None:
        self.deadlines: list[int] = []
        self.at_once = 0
        self.most_at_once = 0

    async def call(
        self,
        _subject: str,
        _request: object,
        _kind: object,
        context: RequestContext,
        *,
        retries: int,
    ) -> Answer[Any]:
        assert retries == RETRIES
        self.deadlines.append(context.deadline_ms)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        vectors = Matrix(dtype="f32", rows=1, dim=1, data=b"\x00\x00\x80?")
        reply = EncodeReply(
            namespace="space.v1", vectors=vectors, token_counts=[1], truncated=0, cached=0
        )
        return Answer(reply, "minilm@1", "encoder-1")


def stages(caller: Recording) -> Stages:
    state = ControlState(
        operation="o", stable="base", releases={"base": RELEASE}, actor="test", reason="test"
    )
    controls = Controls(state, 1, KillLane(operation="o", kills=[]), 0)
    context = RequestContext("r", "public", now_ms() + BUDGET_MS)
    return Stages(cast("Caller", caller), controls, RELEASE, context)


async def test_one_request_never_has_more_calls_in_flight_than_its_places() -> None:
    caller = Recording()
    under_test = stages(caller)

    await asyncio.gather(*(under_test.encode(REQUEST) for _ in range(100)))

    assert len(caller.deadlines) == 100
    assert caller.most_at_once == CALLS_AT_ONCE


async def test_a_stage_that_can_be_done_without_leaves_time_to_answer() -> None:
    caller = Recording()
    under_test = stages(caller)
    deadline_ms = under_test.context.deadline_ms

    await under_test.encode(REQUEST)
    await under_test.try_encode(REQUEST)

    needed, dispensable = caller.deadlines
    assert needed == deadline_ms
    assert 0 < deadline_ms - dispensable <= RESERVE * BUDGET_MS
    assert deadline_ms - dispensable > RESERVE * BUDGET_MS / 2
