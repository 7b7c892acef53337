"""Wiring of the mapper: every component of the settings on its own subject, with or without its model."""

import asyncio
import time

import msgspec
import nats.errors

from services.mapper.definitions.detectors import Detectors, load_detectors
from services.mapper.definitions.taxonomy import Taxonomy, load_taxonomy
from services.mapper.mapper import Mapper
from services.mapper.model.component import Component, load_component
from services.mapper.recording import Recorder, bad_events
from services.mapper.settings import MapperSettings
from trimtab.artifacts.manifest import ArtifactError, ArtifactMissing
from trimtab.artifacts.shipped import shipped
from trimtab.artifacts.store import provide
from trimtab.bus.server import Endpoint, Handler
from trimtab.contracts import subjects
from trimtab.contracts.errors import CallerError
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.mapping import FallbackReason, MappingMode, MapReply, MapRequest
from trimtab.contracts.samples import Readiness
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

    async def load(worker: Worker) -> None:
        taxonomy = await asyncio.to_thread(load_taxonomy, settings.taxonomy)
        detectors = await asyncio.to_thread(load_detectors, settings.detectors, taxonomy)
        definitions.append((taxonomy, detectors))
        recorder.publish()
        problems = []
        for reference in settings.components:
            component, problem = await _model(worker, settings, reference, taxonomy)
            problems += [problem] if problem else []
            _serve(worker, settings, reference, (taxonomy, detectors, component), recorder)
        if problems:
            worker.feel(Readiness.DEGRADED, "; ".join(problems))

    async def load_release(worker: Worker, reference: str) -> None:
        """Load a release's adapter beside the others; one that cannot be trusted is refused whole."""
        taxonomy, detectors = definitions[0]
        component, problem = await _model(worker, settings, reference, taxonomy)
        if component is None:
            raise ArtifactMissing(problem)
        _serve(worker, settings, reference, (taxonomy, detectors, component), recorder)

    return Worker(
        "mapper",
        "Maps outputs to canonical labels",
        deployment,
        settings,
        load,
        stage="map",
        load_component=load_release,
    )


async def _model(
    worker: Worker, settings: MapperSettings, reference: str, taxonomy: Taxonomy
) -> tuple[Component | None, str]:
    """Return a component's model, or None and why the rules must serve without it."""
    cache = worker.deployment.home / "components"
    try:
        folder, _ = await provide(worker.connection, reference, cache, shipped(settings.shipped))
        component = await asyncio.to_thread(load_component, folder)
    except ArtifactError as error:
        problem = error.detail
    except nats.errors.Error as error:
        problem = f"the artifact store does not answer ({type(error).__name__})"
    else:
        foreign = component.foreign_to(taxonomy)
        if not foreign:
            return component, ""
        problem = foreign
    worker.log.error("component_refused", component=reference, reason=problem)
    return None, f"{reference} serves rules only: {problem}"


def _serve(
    worker: Worker,
    settings: MapperSettings,
    reference: str,
    parts: tuple[Taxonomy, Detectors, Component | None],
    recorder: Recorder,
) -> None:
    taxonomy, detectors, component = parts
    mapper = Mapper(taxonomy, detectors, component, settings.confidence_threshold, worker.log)
    if component is not None:
        worker.loaded(reference, component.content_hash)
    worker.identity.facts.update(mapper.versions())
    worker.serve(
        Endpoint(
            _ENDPOINT,
            subjects.mapping(reference),
            MapRequest,
            _handler(worker, reference, mapper, recorder),
            reference,
        )
    )


def _handler(worker: Worker, reference: str, mapper: Mapper, recorder: Recorder) -> Handler:
    async def answer(request: MapRequest, context: RequestContext) -> MapReply:
        # On the loop: a thread hop costs more than the work.
        started = time.perf_counter()
        try:
            mapped = mapper.map(_obeying(worker, request, context))
        except Exception as error:
            recorder.refused(ours=not isinstance(error, CallerError))
            raise
        recorder.mapped(reference, mapped, time.perf_counter() - started)
        for event in bad_events(mapped):
            worker.sampler.bad(_ENDPOINT, reference, context, event)
        return mapped.reply

    return answer


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
