"""``/health``: what every worker says of itself, and what that means for the pipeline. Pure."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

from services.gateway.http.bodies import Body
from trimtab.contracts.samples import Readiness, Sample
from trimtab.control.effective import Controls

SERVICES = ("controller", "encoder", "gateway", "mapper", "reranker", "retriever")

_VITAL = frozenset({"encoder", "retriever", "gateway"})
"""Without one of these nothing can be searched; without the others the answer is poorer."""

_SERVING = frozenset({Readiness.READY, Readiness.DEGRADED})

PASSAGES = "passages"
"""Fact of a retriever: passages searchable over all its collections."""


class ServiceHealth(Body, frozen=True, kw_only=True):
    """One worker in ``/health``."""

    instance: str
    readiness: str
    reason: str
    version: str
    components: dict[str, str]
    facts: dict[str, float | int | str]


class Health(Body, frozen=True, kw_only=True):
    """Answer of ``GET /health``."""

    status: Literal["healthy", "degraded", "down"]
    """healthy: every service has a ready worker; degraded: the pipeline answers without one; down: it cannot."""
    version: str
    release: str
    revision: int
    components: dict[str, str]
    """Component of each stage in the release that serves."""
    index_size: int
    """Passages searchable, summed over the collections of the fullest retriever."""
    services: dict[str, list[ServiceHealth]]
    missing: list[str]
    """Services without a ready worker."""


def aggregate(samples: Sequence[Sample], controls: Controls | None, version: str) -> Health:
    """Return the health of the whole from each worker's sample."""
    services: dict[str, list[ServiceHealth]] = defaultdict(list)
    serving: dict[str, bool] = dict.fromkeys(SERVICES, False)
    limping = False
    for sample in sorted(samples, key=lambda sample: (sample.service, sample.instance)):
        services[sample.service].append(_worker(sample))
        serving[sample.service] = serving.get(sample.service, False) or sample.readiness in _SERVING
        limping = limping or sample.readiness == Readiness.DEGRADED
    missing = [service for service in SERVICES if not serving[service]]
    down = controls is None or any(service in _VITAL for service in missing)
    return Health(
        status="down" if down else "degraded" if missing or limping else "healthy",
        version=version,
        release=controls.release.name if controls else "",
        revision=controls.revision if controls else 0,
        components=_components(controls),
        index_size=max((_passages(sample) for sample in samples), default=0),
        services=dict(services),
        missing=missing,
    )


def _passages(sample: Sample) -> int:
    return int(sample.facts.get(PASSAGES, 0)) if sample.service == "retriever" else 0


def _components(controls: Controls | None) -> dict[str, str]:
    if controls is None:
        return {}
    release = controls.release
    stages = {
        "encode": release.encode,
        "retrieve": release.retrieve,
        "rerank": release.rerank,
        "map": release.map,
    }
    return {stage: component for stage, component in stages.items() if component is not None}


def _worker(sample: Sample) -> ServiceHealth:
    return ServiceHealth(
        instance=sample.instance,
        readiness=sample.readiness.value,
        reason=sample.reason,
        version=sample.version,
        components=sample.components,
        facts=sample.facts,
    )
