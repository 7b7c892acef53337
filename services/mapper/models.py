"""The models of a worker's components: fetched, verified, and opened on the engine that each one names."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from pathlib import Path

import nats.errors

from services.mapper.definitions.taxonomy import Taxonomy
from services.mapper.engines.card import is_engine, load_engine
from services.mapper.engines.circuit import Circuit
from services.mapper.engines.opening import EngineUnusable, Opening
from services.mapper.engines.served import Served, head
from services.mapper.fetching import fetch
from services.mapper.model.component import Component, load_component
from services.mapper.settings import MapperSettings
from trimtab.artifacts.manifest import ArtifactError
from trimtab.contracts.errors import DependencyError
from trimtab.telemetry.metrics import MAPPER_CIRCUIT_OPEN
from trimtab.worker.service import Worker


@dataclass(frozen=True)
class Models:
    """Opens components in one taxonomy; side by side, whatever engines they name."""

    worker: Worker
    """Whose connection, home and log are used."""
    settings: MapperSettings
    """Where shipped components and servers are."""
    taxonomy: Taxonomy
    """Labels that may come out."""
    opened: list[Served] = field(default_factory=list)
    """What :meth:`close` closes."""

    async def open(self, reference: str) -> tuple[Served | None, str]:
        """Return a component's model, and what is wrong with it: without a model the rules must serve.

        A model with a problem is one whose server is not there now: it is asked all the same, and
        answers once the server does.
        """
        try:
            served = await self._open(reference)
        except ArtifactError as error:
            problem = error.detail
        except nats.errors.Error as error:
            problem = f"the artifact store does not answer ({type(error).__name__})"
        else:
            return await self._prepared(served)
        self.worker.log.error("component_refused", component=reference, reason=problem)
        return None, f"{reference} serves rules only: {problem}"

    async def discard(self, served: Served) -> None:
        """Let go of one model, if it was opened here."""
        if not any(each is served for each in self.opened):
            return
        self.opened[:] = [each for each in self.opened if each is not served]
        with contextlib.suppress(KeyError):  # another of this name took it with it
            MAPPER_CIRCUIT_OPEN.remove(served.reference)
        await served.guard.engine.close()

    def publish(self) -> None:
        """Let the gauge read the circuit of every model that is open, by its reference."""
        for served in self.opened:
            _publish(served.reference, served.guard.circuit)

    async def close(self) -> None:
        """Let go of every engine."""
        for served in self.opened:
            await served.guard.engine.close()

    async def _prepared(self, served: Served) -> tuple[Served, str]:
        self.opened.append(served)
        self.publish()
        try:
            await served.guard.engine.prepare()
        except DependencyError as error:
            self.worker.log.warning(
                "engine_not_ready", component=served.reference, reason=error.detail
            )
            return served, f"{served.reference} leaves it to the rules: {error.detail}"
        return served, ""

    async def _open(self, reference: str) -> Served:
        folder = await self._fetch(reference)
        opening = Opening(self.settings, self.taxonomy, self.worker.log)
        if not await asyncio.to_thread(is_engine, folder):
            component = await self._component(folder)
            return head(component, self.taxonomy, self.worker.log, opening.circuit())
        files = await asyncio.to_thread(load_engine, folder)
        candidates = await self._candidates(reference, files.card.candidates)
        return opening.served(files, candidates)

    async def _candidates(self, reference: str, named: str) -> Component:
        folder = await self._fetch(named)
        if await asyncio.to_thread(is_engine, folder):
            raise EngineUnusable(reference, f"{named} retrieves no candidates: it is no engine 1")
        return await self._component(folder)

    async def _component(self, folder: Path) -> Component:
        component = await asyncio.to_thread(load_component, folder)
        foreign = component.foreign_to(self.taxonomy)
        if foreign:
            raise ArtifactError(foreign)
        return component

    async def _fetch(self, reference: str) -> Path:
        folder, _ = await fetch(self.worker, self.settings, reference)
        return folder


def _publish(reference: str, circuit: Circuit) -> None:
    MAPPER_CIRCUIT_OPEN.labels(reference).set_function(lambda: float(not circuit.closed))
