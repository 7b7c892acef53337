"""Wiring of the mapper: every component of the settings on its own subject, with or without its model."""

import asyncio
import time
from dataclasses import dataclass

from services.mapper.definitions.definitions import load_definitions
from services.mapper.engines.opening import EngineUnusable
from services.mapper.inquiry import Inquiry
from services.mapper.mappers import Mappers
from services.mapper.obeying import obeying, terms_of
from services.mapper.opener import Opener
from services.mapper.recording import Recorder, bad_events
from services.mapper.settings import MapperSettings
from services.mapper.troubles import Troubles
from trimtab.bus.server import Endpoint, Handler
from trimtab.contracts import subjects
from trimtab.contracts.errors import CallerError, RawContent
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.mapping import MapReply, MapRequest
from trimtab.worker.service import Worker
from trimtab.worker.settings import DeploymentSettings

_ENDPOINT = "map"


def build(deployment: DeploymentSettings, settings: MapperSettings) -> Worker:
    """Return the mapper's worker; connects to nothing."""
    desks: list[Desk] = []

    async def load(worker: Worker) -> None:
        own = await asyncio.to_thread(
            load_definitions, settings.taxonomy, settings.detectors, settings.frameworks
        )
        desk = Desk(Opener(worker, settings, own), Recorder(), Troubles(worker), Inquiry(worker))
        desks.append(desk)
        desk.recorder.publish()
        await desk.inquiry.listen()
        for reference in settings.components:
            mappers, problem = await desk.opener.open(reference)
            desk.troubles.found(reference, problem)
            _serve(desk, reference, mappers or desk.opener.by_rules())
            if problem:
                desk.inquiry.refused[reference] = problem

    async def load_release(_worker: Worker, reference: str) -> None:
        """Load a release's component beside the others; one that cannot be trusted is refused whole."""
        mappers, problem = await desks[0].opener.open(reference)
        if mappers is None or problem:
            await desks[0].opener.discard(mappers)
            desks[0].inquiry.refused[reference] = problem
            raise EngineUnusable(reference, problem)
        _serve(desks[0], reference, mappers)

    async def unload(_worker: Worker) -> None:
        for desk in desks:
            await desk.opener.close()

    return Worker(
        "mapper",
        "Maps outputs to canonical labels",
        deployment,
        settings,
        load,
        unload,
        stage="map",
        load_component=load_release,
        unload_component=lambda _worker, reference: desks[0].forget(reference),
    )


@dataclass(frozen=True)
class Desk:
    """What every handler of one worker needs."""

    opener: Opener
    """Opens components, and whose endpoints these are."""
    recorder: Recorder
    """The runbooks' metrics."""
    troubles: Troubles
    """Why the worker is degraded."""
    inquiry: Inquiry
    """What operators are told."""

    async def forget(self, reference: str) -> None:
        """Let go of a component that no release names any more."""
        gone, facts = self.inquiry.forget(reference), self.opener.worker.identity.facts
        for name in [name for versions in _versions(gone) for name in versions]:
            facts.pop(name, None)
        for mappers in self.inquiry.served.values():  # the newest of those that are left
            for versions in _versions(mappers):
                facts.update(versions)
        await self.opener.discard(gone)
        self.troubles.forget(reference)


def _versions(mappers: Mappers | None) -> list[dict[str, str]]:
    return [] if mappers is None else [each.versions() for each in mappers.by_taxonomy.values()]


def _serve(desk: Desk, reference: str, mappers: Mappers) -> None:
    worker = desk.opener.worker
    if mappers.content_hash:
        worker.loaded(reference, mappers.content_hash)
    desk.inquiry.serves(reference, mappers)
    for versions in _versions(mappers):
        worker.identity.facts.update(versions)
    worker.serve(
        Endpoint(
            _ENDPOINT,
            subjects.mapping(reference),
            MapRequest,
            _handler(desk, reference, mappers),
            reference,
        )
    )


def _handler(desk: Desk, reference: str, mappers: Mappers) -> Handler:
    worker, settings, recorder = desk.opener.worker, desk.opener.settings, desk.recorder

    async def answer(request: MapRequest, context: RequestContext) -> MapReply:
        started = time.perf_counter()
        try:
            mapper = mappers.of(request.taxonomy)
            controls = worker.controls.current
            terms = terms_of(controls, settings, mapper, context)
            mapped = await mapper.answer(obeying(controls, request, context), terms)
        except Exception as error:
            recorder.refused(ours=not isinstance(error, CallerError))
            if isinstance(error, RawContent):
                recorder.raw()
            raise
        recorder.mapped(reference, mapped, time.perf_counter() - started)
        desk.inquiry.mapped(request, mapped)
        for event in bad_events(mapped):
            worker.sampler.bad(_ENDPOINT, reference, context, event)
        if mapper.served is not None:
            desk.troubles.seen(mapper.served, mapped)
        return mapped.reply

    return answer
