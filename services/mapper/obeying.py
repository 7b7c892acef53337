"""What operators ordered, as one request obeys it: the kill-switch, its detector's threshold, and how long a model may take.

Read from the controls in force at the request's start, whatever its caller knew of them.
"""

import time

import msgspec

from services.mapper.engines.guard import Terms
from services.mapper.mapper import Mapper
from services.mapper.settings import MapperSettings
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.mapping import FallbackReason, MappingMode, MapRequest
from trimtab.control.effective import Controls, chosen, effective

THRESHOLD = "mapper.confidence_threshold"
"""Setting that a detector may have its own value of."""


def terms_of(
    controls: Controls | None, settings: MapperSettings, mapper: Mapper, context: RequestContext
) -> Terms:
    """Return how long the model may take, and what its lateness leaves: as an operator chose, else as set up."""
    left_s = context.remaining_ms() / 1000
    served = mapper.served
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


def obeying(controls: Controls | None, request: MapRequest, context: RequestContext) -> MapRequest:
    """Return the request as kill-switch and threshold have it, whatever the caller knew of them."""
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
