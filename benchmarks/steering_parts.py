"""What steering does on the way of a search, each part called alone with the real objects of a worker."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nats.aio.client import Client as NatsClient

from services.gateway.pipeline import Pipeline
from trimtab.bus.caller import Caller
from trimtab.contracts.component import Release
from trimtab.contracts.control import Canary, ControlState, Kill, KillLane, Phase, Setting, Switch
from trimtab.contracts.headers import RequestContext, now_ms
from trimtab.contracts.message import encode
from trimtab.control.effective import Controls
from trimtab.worker.service import Worker
from trimtab.worker.settings import DeploymentSettings, WorkerSettings

SERVICES = 4
"""Gateway, encoder, retriever, reranker: whom a search asks."""

LOOKS = 2
"""Settings that a search looks up: nprobe and the pool."""

_TENANT = "public"


def controls() -> Controls:
    """Return a busy state: a canary at 5 %, a setting, a kill for a tenant who is not asking."""
    base, *others = (
        Release(
            name=name,
            encode="minilm-int8@1",
            retrieve="hybrid@1",
            rerank="mlp-full@1",
            map="safety-head@1",
            namespace="single_vector.minilm.384.v1",
        )
        for name in ("base", "next-0", "next-1", "next-2")
    )
    canary = Canary(
        release="next-0",
        policy="",
        weight_bp=500,
        phase=Phase.RUNNING,
        step=0,
        step_since=0.0,
        salt="next-0/1",
    )
    setting = Setting(value=8, actor="bench", reason="", expires_at=None)
    kill = Kill(
        switch=Switch.RERANKER,
        value="off",
        tenant="somebody",
        actor="bench",
        reason="",
        at=0.0,
        expires_at=None,
    )
    state = ControlState(
        operation="bench",
        stable="base",
        releases={release.name: release for release in (base, *others)},
        canary=canary,
        settings={"retriever.nprobe": setting},
        actor="bench",
        reason="",
    )
    return Controls(state, 1, KillLane(operation="bench", kills=[kill]), 2)


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that is done."""

    name: str
    """For people."""
    times: int
    """Per search, over all services."""
    call: Callable[[], Awaitable[None]]
    """Does it once."""


@dataclass(frozen=True, slots=True)
class Parts:
    """All that steering does for a search, and once a second."""

    per_search: list[Part]
    per_second: Part
    """``times``: how many services do it."""
    nothing: Part
    """What calling costs."""


async def parts(home: Path) -> Parts:
    """Return the parts, with a worker that never connects."""

    async def load(_: Worker) -> None:
        return

    worker = Worker("bench", "measures", DeploymentSettings(home=home), WorkerSettings(), load)
    await worker.controls.apply(controls())
    context = RequestContext("a" * 32, _TENANT, now_ms() + 3_600_000, "base", 2, role="stable")
    sampler = worker.sampler
    pipeline = Pipeline(Caller(NatsClient()), worker.controls, sampler, 50)
    stages = pipeline.stages(context)

    async def gate() -> None:
        await worker._gate(context)

    async def observe() -> None:
        sampler.observe("encode", "minilm-int8@1", "base", "ok", 3.2, "stable")

    async def choose() -> None:
        pipeline.stages(context)

    async def look() -> None:
        stages.chosen("retriever.nprobe")

    async def emit() -> None:
        encode(sampler.take(0))
        sampler.observe("encode", "minilm-int8@1", "base", "ok", 3.2, "stable")

    async def nothing() -> None:
        return

    return Parts(
        [
            Part("gate: is it open, is the release banned, were we frozen", SERVICES, gate),
            Part("sampler.observe: counts, sketch, metrics", SERVICES + 1, observe),
            Part("read the state, assign and choose the release", 1, choose),
            Part("look a setting up", LOOKS, look),
        ],
        Part("make and encode the sample", SERVICES, emit),
        Part("call nothing", 1, nothing),
    )


async def microseconds(part: Part, calls: int) -> float:
    """Return what one call takes, in microseconds."""
    call = part.call
    began = time.perf_counter_ns()
    for _ in range(calls):
        await call()
    return (time.perf_counter_ns() - began) / calls / 1000


def per_search_us(each: Mapping[str, float], found: Parts) -> float:
    """Return the sum over a search, in microseconds; what calling costs is taken off each."""
    nothing = each[found.nothing.name]
    return sum((each[p.name] - nothing) * p.times for p in found.per_search)
