"""Wiring of the mapper: every component of the settings on its own subject, with or without its model."""

import asyncio
import time
from dataclasses import dataclass

import msgspec

from services.mapper.definitions.definitions import load_definitions
from services.mapper.engines.guard import Terms
from services.mapper.engines.opening import EngineUnusable
from services.mapper.inquiry import Inquiry
from services.mapper.mapper import Mapper
from services.mapper.mappers import Mappers
from services.mapper.opener import Opener
from services.mapper.recording import Recorder, bad_events
from services.mapper.settings import MapperSettings
from services.mapper.troubles import Troubles
from trimtab.bus.server import Endpoint, Handler
from trimtab.contracts import subjects
from trimtab.contracts.errors import CallerError, RawContent
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.mapping import FallbackReason, MappingMode, MapReply, MapRequest
from trimtab.control.effective import Controls, chosen, effective
from trimtab.worker.service import Worker
from trimtab.worker.settings import DeploymentSettings

_ENDPOINT = "map"

THRESHOLD = "mapper.confidence_threshold"
"""Setting that a detector may have its own value of."""


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


def _serve(desk: Desk, reference: str, mappers: Mappers) -> None:
    worker = desk.opener.worker
    if mappers.content_hash:
        worker.loaded(reference, mappers.content_hash)
    desk.inquiry.serves(reference, mappers)
    for mapper in mappers.by_taxonomy.values():
        worker.identity.facts.update(mapper.versions())
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
            terms = _terms(worker, settings, mapper, context)
            mapped = await mapper.answer(_obeying(worker, request, context), terms)
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


def _terms(
    worker: Worker, settings: MapperSettings, mapper: Mapper, context: RequestContext
) -> Terms:
    """Return how long the model may take, and what its lateness leaves: as an operator chose, else as set up."""
    left_s = context.remaining_ms() / 1000
    served, controls = mapper.served, worker.controls.current
    budget_s = served.guard.budget_s if served is not None else None
    fails = settings.on_timeout == "fail"
    if controls is None:
        return Terms(left_s, budget_s, fails)
    release = controls.state.releases.get(context.release, controls.release)

    def found(name: str) -> float | None:
        return chosen(controls, name, release, now=time.time(), tenant=context.tenant)

    policy = found("mapper.on_timeout")
    fails = fails if policy is None else bool(policy)
    if budget_s is None:  # a model in this process holds the loop: no time limit could end it
        return Terms(left_s, None, fails)
    timeout_ms = found("mapper.model_timeout_ms")
    return Terms(left_s, budget_s if timeout_ms is None else timeout_ms / 1000, fails)


def _obeying(worker: Worker, request: MapRequest, context: RequestContext) -> MapRequest:
    """Return the request as kill-switch and threshold have it, whatever the caller knew of them."""
    controls = worker.controls.current
    if controls is None or request.mode is MappingMode.RULES_ONLY:
        return request
    now = time.time()
    found = effective(controls, now=now, tenant=context.tenant, detector=request.detector)
    if found.mapper_mode is MappingMode.HYBRID:
        return _with_threshold(request, context, controls, now)
    return msgspec.structs.replace(
        request,
        mode=MappingMode.RULES_ONLY,
        vectors=None,
        fallback=FallbackReason.KILL_SWITCH,
    )


def _with_threshold(
    request: MapRequest, context: RequestContext, controls: Controls, now: float
) -> MapRequest:
    """Return the request with the threshold in force for its detector, unless it names its own."""
    if request.threshold is not None:
        return request
    release = controls.state.releases.get(context.release, controls.release)
    name = f"{THRESHOLD}.{request.detector}"
    found = chosen(controls, name, release, now=now, tenant=context.tenant)
    return request if found is None else msgspec.structs.replace(request, threshold=float(found))
