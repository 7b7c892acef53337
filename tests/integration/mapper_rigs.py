"""The mapping engines as one behaviour suite sees them: each can be told how to misbehave and says what it was asked."""

from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from services.mapper.engines.card import EngineCard, load_engine, save_engine
from services.mapper.engines.circuit import Circuit
from services.mapper.engines.guard import Guard
from services.mapper.engines.opening import Opening
from services.mapper.engines.served import Served, head
from services.mapper.mapper import Mapper
from services.mapper.model.network import Array
from services.mapper.settings import MapperSettings
from tests.integration import tiny_llama
from tests.integration.model_server import BASE, Fault, ModelServer
from tests.unit.mapper.shipped import component, detectors, taxonomy
from trimtab.telemetry import logs

FAILURES = 3
"""In a row, after which the circuit opens."""

REST_S = 10.0
LOG = logs.get("mapper", "test")


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


class Rig(Protocol):
    """One engine under test."""

    mapper: Mapper
    clock: Clock

    @property
    def calls(self) -> int:
        """How often the model itself was really asked."""

    def then(self, *faults: Fault | None) -> None:
        """Set what the next answers suffer from, one each; None: nothing."""

    def keep(self, fault: Fault | None) -> None:
        """Set what all answers beyond those suffer from."""


@dataclass
class FaultyAdapter:
    """The shipped adapter, misbehaving when told."""

    clock: Clock
    faults: deque[Fault | None] = field(default_factory=deque)
    always: Fault | None = None
    calls: int = 0

    def answer(self, vectors: Array, texts: Sequence[str]) -> list[tuple[str, float]]:
        self.calls += 1
        fault = self.faults.popleft() if self.faults else self.always
        if fault in (Fault.ERROR, Fault.DROPPED, Fault.BROKEN_OFF):
            raise ZeroDivisionError
        if fault is Fault.SLOW:
            self.clock.now += 3600
        found = component().adapter.answer(vectors, texts)
        if fault in (Fault.OUTSIDE, Fault.PROSE):
            return [("HARM.SPEECH.Invented", confidence) for _, confidence in found]
        if fault is not None and fault is not Fault.SLOW:
            return [(label, float(np.nan)) for label, _ in found]
        return found


@dataclass
class HeadRig:
    """Engine 1."""

    mapper: Mapper
    clock: Clock
    adapter: FaultyAdapter

    @classmethod
    def made(cls) -> "HeadRig":
        clock = Clock()
        adapter = FaultyAdapter(clock)
        faulty = replace(component(), adapter=adapter)  # type: ignore[arg-type]
        served = head(faulty, taxonomy(), LOG, Circuit(FAILURES, REST_S))
        served.guard.clock = clock
        return cls(mapper(served), clock, adapter)

    @property
    def calls(self) -> int:
        return self.adapter.calls

    def then(self, *faults: Fault | None) -> None:
        self.adapter.faults.extend(faults)

    def keep(self, fault: Fault | None) -> None:
        self.adapter.always = fault


@dataclass
class ChatRig:
    """Engines 2 and 3, behind a server that misbehaves."""

    mapper: Mapper
    clock: Clock
    server: ModelServer

    @property
    def calls(self) -> int:
        return len(self.server.chats)

    @property
    def guard(self) -> Guard:
        assert self.mapper.served is not None
        return self.mapper.served.guard

    def then(self, *faults: Fault | None) -> None:
        self.server.then_fault(*faults)

    def keep(self, fault: Fault | None) -> None:
        self.server.always = fault


def mapper(served: Served) -> Mapper:
    """Return a mapper of the shipped taxonomy over an engine."""
    return Mapper(taxonomy(), detectors(), None, 0.0, LOG, served=served)


def engine_component(
    folder: Path, reference: str, card: EngineCard, seed: int | None = None
) -> Path:
    """Write a language model's component; with a seed it brings an adapter of the tiny model's."""
    if seed is not None:
        tiny_llama.lora(folder / "adapter", Path("tiny"), seed)
    save_engine(folder, reference, card)
    return folder


@asynccontextmanager
async def chat_rig(
    folder: Path, kind: str, *, upstream: str = "", prepared: bool = True
) -> AsyncIterator[ChatRig]:
    """Run a server that misbehaves when told, before a real one when ``upstream`` names it."""
    card = EngineCard(
        kind="openai" if kind == "openai" else "vllm",
        model=BASE,
        candidates="safety-head@1",
        timeout_ms=60_000,
    )
    seed = None if kind == "openai" else 1
    made = engine_component(folder / "llm@1-0123", "llm@1", card, seed)
    async with ModelServer(upstream=upstream).running() as server:
        settings = MapperSettings(
            endpoints={card.server: server.url},
            circuit_failures=FAILURES,
            circuit_rest_s=REST_S,
        )
        opened = Opening(settings, taxonomy(), LOG).served(load_engine(made), component())
        clock = opened.guard.clock = Clock()
        if prepared:
            await opened.guard.engine.prepare()
        try:
            yield ChatRig(mapper(opened), clock, server)
        finally:
            await opened.guard.engine.close()
