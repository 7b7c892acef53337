"""A real mapper process whose components ``errors@1``, ``slow@1`` and ``garbled@1`` misbehave; all others are as they are.

For drills of the judgement: a canary that is bad in a known way, behind the real bus, gateway and samples.
"""

import asyncio
import itertools
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from services.mapper import models
from services.mapper.app import build as build_mapper
from services.mapper.engines.engine import NOTHING_USABLE, Engine, Question, Raw
from services.mapper.engines.served import Served, head
from services.mapper.model.component import Component
from services.mapper.settings import MapperSettings
from trimtab.bus.server import Endpoint, Handler
from trimtab.contracts.errors import ModelFailed
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.mapping import MapReply, MapRequest
from trimtab.worker.service import Worker, run
from trimtab.worker.settings import DeploymentSettings

MODULE = "tests.drills.faulty_mapper"
FAILING = "errors@1"
SLOW = "slow@1"
GARBLED = "garbled@1"

EVERY_FIFTH = 5
"""20 % of its requests fail, or are slow."""

SLOW_S = 1.5
"""How slow: far above what a busy machine does to a healthy one."""


class FaultyWorker(Worker):
    """A worker that wraps the handlers of the faulty components."""

    def serve(self, endpoint: Endpoint) -> None:
        """Add an endpoint, with its fault when its component has one."""
        if endpoint.component in (FAILING, SLOW):
            endpoint = replace(endpoint, handler=_faulty(endpoint))
        super().serve(endpoint)


def _faulty(endpoint: Endpoint) -> Handler:
    requests = itertools.count(1)

    async def answer(request: MapRequest, context: RequestContext) -> MapReply:
        if next(requests) % EVERY_FIFTH == 0:
            if endpoint.component == FAILING:
                raise ModelFailed("the drill's model")
            await asyncio.sleep(SLOW_S)
        reply: MapReply = await endpoint.handler(request, context)  # type: ignore[assignment]
        return reply

    return answer


@dataclass(frozen=True)
class Garbling:
    """An engine that says nothing that fits the schema, however often it is asked."""

    engine: Engine
    kind: str = "garbling"
    remote: bool = False

    async def prepare(self) -> None:
        await self.engine.prepare()

    async def answer(self, question: Question, *, again: bool) -> list[Raw]:
        return [NOTHING_USABLE] * len(question.texts)

    async def close(self) -> None:
        await self.engine.close()


def _head(component: Component, *given: Any) -> Served:
    served = head(component, *given)
    if component.reference == GARBLED:
        served.guard.engine = Garbling(served.guard.engine)
    return served


def build() -> Worker:
    """Return the worker; connects to nothing."""
    patch.object(models, "head", _head).start()
    real = build_mapper(DeploymentSettings.load(), MapperSettings.load())
    return FaultyWorker(
        real.service,
        real.description,
        real.deployment,
        real.settings,
        real.load,
        real.unload,
        real.stage,
        real.load_component,
    )


if __name__ == "__main__":
    run(build)
