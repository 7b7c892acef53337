"""What conditions are measured on: samples and evaluations in, one figure with its weight out. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from datasketches import kll_doubles_sketch

from services.controller.windows import bad_events
from trimtab.contracts.evaluation import Evaluation
from trimtab.contracts.samples import ADVICE, QUEUE_LAG, EndpointSample, Readiness, Sample

_UNASKED = ("fallback_kill_switch", "fallback_circuit_open", "fallback_unknown_detector")
"""Mapping requests whose model was not asked, so that its output cannot have been invalid."""

_DELIBERATE = "fallback_kill_switch"


@dataclass(frozen=True, slots=True)
class Heard:
    """What a condition is measured on."""

    samples: Sequence[Sample]
    """Of the span that is looked at."""
    evaluation: Evaluation | None = None
    """The newest one of a release that serves; None without."""
    queue_lag: "Reading | None" = None
    """Oldest mapping job that a gateway saw unfinished, seconds, of five times the span; None: none looks."""
    memory_growth: float | None = None
    """Most that a worker's resident memory grew, as a share of what it was; None before that is known."""
    burning: Mapping[str, "Reading"] = field(default_factory=dict)
    """Burn rate of the error budget that burns most, ``fast`` and ``slow``; one with too few requests is not named."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One measurement."""

    value: float
    """Seconds, a share 0..1, texts per second, a burn rate, or 0 or 1."""
    requests: int
    """What it was measured on: requests, queries, or samples."""


Measure = Callable[[Heard], Reading | None]
"""None: no data."""


def _endpoints(samples: Sequence[Sample], endpoint: str) -> list[EndpointSample]:
    return [part for sample in samples for part in sample.endpoints if part.endpoint == endpoint]


def _requests(part: EndpointSample) -> int:
    return sum(part.outcomes.values())


def _p95_s(endpoint: str) -> Measure:
    def measure(heard: Heard) -> Reading | None:
        merged = kll_doubles_sketch(200)
        for part in _endpoints(heard.samples, endpoint):
            merged.merge(kll_doubles_sketch.deserialize(part.latency))
        if merged.is_empty():
            return None
        return Reading(float(merged.get_quantile(0.95)) / 1000, int(merged.n))

    return measure


def _share(
    endpoint: str,
    count: Callable[[EndpointSample], int],
    of: Callable[[EndpointSample], int] = _requests,
) -> Measure:
    def measure(heard: Heard) -> Reading | None:
        parts = _endpoints(heard.samples, endpoint)
        total = sum(of(part) for part in parts)
        return Reading(sum(count(part) for part in parts) / total, total) if total else None

    return measure


def _fallbacks(part: EndpointSample) -> int:
    """Count requests that rules answered although nobody had ordered that."""
    return sum(
        count
        for event, count in part.bad.items()
        if event.startswith("fallback_") and event != _DELIBERATE
    )


def _model_asked(part: EndpointSample) -> int:
    return max(0, part.outcomes.get("ok", 0) - sum(part.bad.get(event, 0) for event in _UNASKED))


def _schema_valid(part: EndpointSample) -> int:
    return max(0, _model_asked(part) - part.bad.get("schema_invalid", 0))


def _throughput(heard: Heard) -> Reading | None:
    """Return texts computed per second of the model's work, of all encoders: idle time is no slowness."""
    texts, busy_s = 0.0, 0.0
    first: dict[str, Sample] = {}
    last: dict[str, Sample] = {}
    for sample in heard.samples:
        if sample.service == "encoder":
            first.setdefault(sample.instance, sample)
            last[sample.instance] = sample
    for instance, sample in last.items():
        texts += _grown(first[instance], sample, "texts.")
        busy_s += _grown(first[instance], sample, "busy_s.")
    return Reading(texts / busy_s, int(texts)) if busy_s > 0 and texts > 0 else None


def _grown(first: Sample, last: Sample, prefix: str) -> float:
    """Return by how much the facts of that name grew; a component loaded meanwhile began at 0."""
    return sum(
        float(value) - float(first.facts.get(name, 0.0))
        for name, value in last.facts.items()
        if name.startswith(prefix)
    )


def _encoder_up(heard: Heard) -> Reading | None:
    if not heard.samples:
        return None  # nobody reports at all: that is the metrics path, not the encoder
    serving = (Readiness.READY, Readiness.DEGRADED)
    up = any(s.service == "encoder" and s.readiness in serving for s in heard.samples)
    return Reading(float(up), len(heard.samples))


def _evaluated(figure: Callable[[Evaluation], float | None]) -> Measure:
    def measure(heard: Heard) -> Reading | None:
        found = heard.evaluation
        value = None if found is None else figure(found)
        return None if found is None or value is None else Reading(value, found.queries)

    return measure


def worst_lag(samples: Iterable[Sample]) -> Reading | None:
    """Return the worst queue lag that gateways told of; every sample of one that looks counts."""
    told = [float(sample.facts[QUEUE_LAG]) for sample in samples if QUEUE_LAG in sample.facts]
    return Reading(max(told), len(told)) if told else None


def _memory_growth(heard: Heard) -> Reading | None:
    return None if heard.memory_growth is None else Reading(heard.memory_growth, 1)


def _queue_lag(heard: Heard) -> Reading | None:
    return heard.queue_lag


def _rebuild_advised(heard: Heard) -> Reading | None:
    """Return 1 when any retriever's last word advises to build an index anew; None without a retriever."""
    newest = {each.instance: each.facts for each in heard.samples if each.service == "retriever"}
    told = [
        bool(text)
        for facts in newest.values()
        for name, text in facts.items()
        if name.startswith(ADVICE)
    ]
    return Reading(float(any(told)), len(told)) if told else None


def _burn(pair: str) -> Measure:
    return lambda heard: heard.burning.get(pair)


METRICS: dict[str, Measure] = {
    "budget_burn_fast": _burn("fast"),
    "budget_burn_slow": _burn("slow"),
    "contain_at_50": _evaluated(lambda found: found.contain_at_50),
    "embedding_duration_p95": _p95_s("encode"),
    "embedding_throughput": _throughput,
    "gpu_failure_rate": _share("encode", lambda part: part.outcomes.get("model_failed", 0)),
    "index_rebuild_advised": _rebuild_advised,
    "map_duration_p95": _p95_s("pipeline_map"),
    "map_error_rate": _share("pipeline_map", lambda part: bad_events(part, "error")),
    "map_fallback_rate": _share("map", _fallbacks),
    "map_schema_valid_rate": _share("map", _schema_valid, _model_asked),
    "mapper_queue_lag": _queue_lag,
    "memory_growth": _memory_growth,
    "recall_at_5_drop": _evaluated(lambda found: found.before - found.recall_at_5),
    "rerank_acceptance_rate": _share("rerank", lambda part: part.bad.get("first_changed", 0)),
    "retrieval_duration_p95": _p95_s("retrieve"),
    "search_duration_p95": _p95_s("pipeline_search"),
    "search_error_rate": _share("pipeline_search", lambda part: bad_events(part, "error")),
    "token_overflow_rate": _share("encode", lambda part: bad_events(part, "token_overflow")),
    "vllm_service_up": _encoder_up,
}
"""Metric of a condition -> how it is measured on what was heard."""
