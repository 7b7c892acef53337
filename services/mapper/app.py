"""Wiring of the mapper: every component of the settings on its own subject, with or without its model."""

import asyncio
import time

import msgspec

from services.mapper.definitions.detectors import Detectors, load_detectors
from services.mapper.definitions.taxonomy import Taxonomy, load_taxonomy
from services.mapper.engines.guard import Terms
from services.mapper.engines.opening import EngineUnusable
from services.mapper.engines.served import Served
from services.mapper.mapper import Mapper
from services.mapper.models import Models
from services.mapper.recording import Recorder, bad_events
from services.mapper.settings import MapperSettings
from services.mapper.troubles import Troubles
from trimtab.bus.server import Endpoint, Handler
from trimtab.contracts import subjects
from trimtab.contracts.errors import CallerError
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
    definitions: list[tuple[Taxonomy, Detectors]] = []
    recorder = Recorder()
    models: list[Models] = []
    troubles: list[Troubles] = []

    async def load(worker: Worker) -> None:
        taxonomy = await asyncio.to_thread(load_taxonomy, settings.taxonomy)
        detectors = await asyncio.to_thread(load_detectors, settings.detectors, taxonomy)
        definitions.append((taxonomy, detectors))
        recorder.publish()
        models.append(Models(worker, settings, taxonomy))
        troubles.append(Troubles(worker))
        for reference in settings.components:
            served, problem = await models[0].open(reference)
            troubles[0].found(reference, problem)
            mapper = _mapper(worker, settings, (taxonomy, detectors, served))
            _serve(worker, settings, reference, mapper, recorder, troubles[0])

    async def load_release(worker: Worker, reference: str) -> None:
        """Load a release's adapter beside the others; one that cannot be trusted is refused whole."""
        taxonomy, detectors = definitions[0]
        served, problem = await models[0].open(reference)
        if served is None or problem:
            raise EngineUnusable(reference, problem)
        mapper = _mapper(worker, settings, (taxonomy, detectors, served))
        _serve(worker, settings, reference, mapper, recorder, troubles[0])

    async def unload(_worker: Worker) -> None:
        for each in models:
            await each.close()

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


def _mapper(
    worker: Worker, settings: MapperSettings, parts: tuple[Taxonomy, Detectors, Served | None]
) -> Mapper:
    taxonomy, detectors, served = parts
    return Mapper(
        taxonomy, detectors, None, settings.confidence_threshold, worker.log, served=served
    )


def _serve(
    worker: Worker,
    settings: MapperSettings,
    reference: str,
    mapper: Mapper,
    recorder: Recorder,
    troubles: Troubles,
) -> None:
    if mapper.served is not None:
        worker.loaded(reference, mapper.served.content_hash)
    worker.identity.facts.update(mapper.versions())
    worker.serve(
        Endpoint(
            _ENDPOINT,
            subjects.mapping(reference),
            MapRequest,
            _handler(worker, settings, reference, mapper, recorder, troubles),
            reference,
        )
    )


def _handler(
    worker: Worker,
    settings: MapperSettings,
    reference: str,
    mapper: Mapper,
    recorder: Recorder,
    troubles: Troubles,
) -> Handler:
    async def answer(request: MapRequest, context: RequestContext) -> MapReply:
        started = time.perf_counter()
        try:
            terms = _terms(worker, settings, mapper, context)
            mapped = await mapper.answer(_obeying(worker, request, context), terms)
        except Exception as error:
            recorder.refused(ours=not isinstance(error, CallerError))
            raise
        recorder.mapped(reference, mapped, time.perf_counter() - started)
        for event in bad_events(mapped):
            worker.sampler.bad(_ENDPOINT, reference, context, event)
        if mapper.served is not None:
            troubles.seen(mapper.served, mapped)
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
    if served is None or controls is None or not served.guard.engine.remote:
        return Terms(left_s, budget_s, fails)
    release = controls.state.releases.get(context.release, controls.release)

    def found(name: str) -> float | None:
        return chosen(controls, name, release, now=time.time(), tenant=context.tenant)

    timeout_ms, policy = found("mapper.model_timeout_ms"), found("mapper.on_timeout")
    return Terms(
        left_s,
        budget_s if timeout_ms is None else timeout_ms / 1000,
        fails if policy is None else bool(policy),
    )


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
