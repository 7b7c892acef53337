"""``/health``: what every worker says of itself, and what that means for the pipeline. Pure."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

from services.gateway.http.bodies import Body
from services.gateway.http.inforce import InForce, components_of, in_force
from trimtab.contracts.samples import Readiness, Sample
from trimtab.control.effective import Controls

SERVICES = ("controller", "encoder", "gateway", "mapper", "reranker", "retriever")

_VITAL = frozenset({"encoder", "retriever", "gateway"})
"""Without one of these nothing can be searched; without the others the answer is poorer."""

_SERVING = frozenset({Readiness.READY, Readiness.DEGRADED})

PASSAGES = "passages"
"""Fact of a retriever: passages searchable over all its collections; with a dot and a name, of one."""


class ServiceHealth(Body, frozen=True, kw_only=True):
    """One worker in ``/health``."""

    instance: str
    readiness: str
    reason: str
    version: str
    revision: int
    """Control revision that it obeys."""
    stale: bool
    """Whether that may be old: it hears no controller."""
    components: dict[str, str]
    facts: dict[str, float | int | str]


class Health(Body, frozen=True, kw_only=True):
    """Answer of ``GET /health``."""

    status: Literal["healthy", "degraded", "down"]
    """healthy: every service has a ready worker; degraded: the pipeline answers without one; down: it cannot."""
    version: str
    release: str
    """Stable release of the control state."""
    revision: int
    """Newest control revision that this gateway knows, and obeys."""
    components: dict[str, str]
    """Component of each stage that the stable release names; what is asked is in ``in_force``."""
    in_force: InForce | None
    """What requests meet now; None before the first control state."""
    index_size: int
    """Passages searchable, summed over the collections of the fullest retriever."""
    collections: dict[str, int]
    """Passages searchable (ntotal) of each collection, in the retriever that holds most of it."""
    services: dict[str, list[ServiceHealth]]
    missing: list[str]
    """Services without a ready worker."""


def aggregate(
    samples: Sequence[Sample], controls: Controls | None, version: str, *, now: float, leased: bool
) -> Health:
    """Return the health of the whole from each worker's sample; the rest as of :func:`in_force`."""
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
        components=components_of(controls.release) if controls else {},
        in_force=in_force(controls, samples, now=now, leased=leased) if controls else None,
        index_size=max((_passages(sample) for sample in samples), default=0),
        collections=_collections(samples),
        services=dict(services),
        missing=missing,
    )


def _passages(sample: Sample) -> int:
    return int(sample.facts.get(PASSAGES, 0)) if sample.service == "retriever" else 0


def _collections(samples: Sequence[Sample]) -> dict[str, int]:
    """Return the most passages that a retriever has of each collection."""
    most: dict[str, int] = {}
    for sample in samples:
        for fact, value in sample.facts.items():
            collection = fact.removeprefix(f"{PASSAGES}.")
            if sample.service == "retriever" and collection != fact:
                most[collection] = max(most.get(collection, 0), int(value))
    return dict(sorted(most.items()))


def _worker(sample: Sample) -> ServiceHealth:
    return ServiceHealth(
        instance=sample.instance,
        readiness=sample.readiness.value,
        reason=sample.reason,
        version=sample.version,
        revision=sample.revision,
        stale=sample.stale,
        components=sample.components,
        facts=sample.facts,
    )
