"""Every Prometheus metric, declared once: name, unit, help, labels, buckets.

Measuring code calls the functions of these objects; nothing else knows Prometheus. Label values
come from enums and component names, never from requests. The names of the runbooks are kept
literally (``mapper_*``, runbooks 1 and 2).
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_LATENCY_S = (
    0.0005,
    0.001,
    0.002,
    0.004,
    0.006,
    0.008,
    0.01,
    0.015,
    0.02,
    0.05,
    0.1,
    0.15,
    0.25,
    0.5,
    1.0,
    2.0,
    5.0,
)
"""Buckets that hold every latency objective of the runbooks: 2, 8, 10, 20, 150, 250 ms, 2 s."""

REGISTRY = CollectorRegistry(auto_describe=True)

REQUESTS = Counter(
    "trimtab_requests_total",
    "Requests answered, by outcome: ok or an error code.",
    ("service", "endpoint", "component", "outcome"),
    registry=REGISTRY,
)
REQUEST_DURATION = Histogram(
    "trimtab_request_duration_seconds",
    "Service time of a request, admission to reply; role is empty for what no gateway routed.",
    ("service", "endpoint", "component", "role"),
    buckets=_LATENCY_S,
    registry=REGISTRY,
)
QUEUE_DURATION = Histogram(
    "trimtab_queue_duration_seconds",
    "Time a request waited for the model or index.",
    ("service", "endpoint"),
    buckets=_LATENCY_S,
    registry=REGISTRY,
)
IN_FLIGHT = Gauge(
    "trimtab_in_flight_requests", "Requests being worked on.", ("service",), registry=REGISTRY
)
SHED = Counter(
    "trimtab_shed_total",
    "Requests refused before any work, by error code.",
    ("service", "endpoint", "code"),
    registry=REGISTRY,
)
READY = Gauge(
    "trimtab_ready",
    "1 when the worker should get requests, 0.5 when degraded, else 0.",
    ("service", "instance"),
    registry=REGISTRY,
)
BUILD_INFO = Gauge(
    "trimtab_build_info",
    "Always 1; the labels say what runs.",
    ("service", "version"),
    registry=REGISTRY,
)
COMPONENT_INFO = Gauge(
    "trimtab_component_info",
    "1 for every component loaded; hash is the first 12 digits of the manifest's.",
    ("service", "component", "hash"),
    registry=REGISTRY,
)
BUS_RECONNECTS = Counter(
    "trimtab_bus_reconnects_total",
    "Times the NATS connection came back.",
    ("service",),
    registry=REGISTRY,
)
BUS_ERRORS = Counter(
    "trimtab_bus_errors_total",
    "Asynchronous NATS errors: slow consumer, permissions, other.",
    ("service", "kind"),
    registry=REGISTRY,
)
BATCH_SIZE = Histogram(
    "trimtab_batch_size",
    "Items per model call.",
    ("service",),
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
    registry=REGISTRY,
)
RESIDENT_MEMORY = Gauge(
    "trimtab_resident_memory_bytes",
    "Resident memory of a worker's process, as of its last sample.",
    ("service",),
    registry=REGISTRY,
)
BAD_EVENTS = Counter(
    "trimtab_bad_events_total",
    "Quality as counts of bad events: empty_result, token_overflow, low_cosine, ...",
    ("service", "event"),
    registry=REGISTRY,
)

ENCODER_TEXTS = Counter("encoder_texts_total", "Texts encoded.", ("component",), registry=REGISTRY)
ENCODER_TOKENS = Counter(
    "encoder_tokens_total", "Tokens encoded.", ("component",), registry=REGISTRY
)
ENCODER_BUSY = Counter(
    "encoder_busy_seconds_total",
    "Time the model worked; texts it computed are the misses of encoder_cache_total.",
    ("component",),
    registry=REGISTRY,
)
ENCODER_CACHE = Counter(
    "encoder_cache_total",
    "Cache look-ups by result: hit or miss.",
    ("component", "result"),
    registry=REGISTRY,
)
ENCODER_OVERFLOW = Counter(
    "encoder_token_overflow_total",
    "Texts over the token budget, by policy: reject or truncate.",
    ("component", "policy"),
    registry=REGISTRY,
)
ENCODER_NORM = Gauge(
    "encoder_mean_norm_ratio",
    "Mean L2 norm of the last batch; 1 within 1e-5.",
    ("component",),
    registry=REGISTRY,
)

RETRIEVER_PASSAGES = Gauge(
    "retriever_passages", "Passages searchable (ntotal).", ("collection",), registry=REGISTRY
)
RETRIEVER_SEQUENCE = Gauge(
    "retriever_applied_sequence", "Stream sequence applied.", (), registry=REGISTRY
)
RETRIEVER_UPSERTED = Counter(
    "retriever_passages_upserted_total",
    "Passages added or replaced since the worker started; one that reads the stream anew counts them again.",
    ("collection",),
    registry=REGISTRY,
)
RETRIEVER_REMOVED = Counter(
    "retriever_passages_removed_total",
    "Passages removed since the worker started.",
    ("collection",),
    registry=REGISTRY,
)
RETRIEVER_INDEX_GROWTH = Gauge(
    "retriever_index_growth_ratio",
    "How much a collection grew since its index was trained, as a share; 0 while FLAT answers.",
    ("collection", "component"),
    registry=REGISTRY,
)
RETRIEVER_INDEX_IMBALANCE = Gauge(
    "retriever_index_imbalance_ratio",
    "How uneven the IVF lists are: 1 when all are equally long, 0 without lists.",
    ("collection", "component"),
    registry=REGISTRY,
)
RETRIEVER_INDEX_HOTTEST = Gauge(
    "retriever_index_hottest_list_ratio",
    "Passages in the longest IVF list over the mean of all lists; 0 without lists.",
    ("collection", "component"),
    registry=REGISTRY,
)
RETRIEVER_INDEX_ADVISED = Gauge(
    "retriever_index_rebuild_advised",
    "1 when growth, imbalance, a hot list or tombstones say that the index should be built anew; 0 unless it serves.",
    ("collection", "component"),
    registry=REGISTRY,
)
RETRIEVER_INDEX_ON_DEVICE = Gauge(
    "retriever_index_on_device",
    "1 while a GPU searches the index of a collection, 0 while the CPU does; absent in workers without a GPU.",
    ("collection", "component"),
    registry=REGISTRY,
)
RETRIEVER_SEARCH_DURATION = Histogram(
    "retriever_search_duration_seconds",
    "Time in one part of a search: model, dense, lexical, passages, signals.",
    ("part",),
    buckets=_LATENCY_S,
    registry=REGISTRY,
)
RETRIEVER_TOP_COSINE = Histogram(
    "retriever_top_five_cosine",
    "Mean cosine between the first five candidates of a search, two by two: near 1 they all say the same.",
    ("component",),
    buckets=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0),
    registry=REGISTRY,
)
RETRIEVER_QUERIES = Counter(
    "retriever_queries_total",
    "Searches, by the query model whose vector was searched with, and why when another was asked for:"
    " not_loaded, window_short, namespace, bad_output.",
    ("impl", "fallback"),
    registry=REGISTRY,
)
RETRIEVER_SNAPSHOT_REFUSED = Counter(
    "retriever_snapshot_refused_total",
    "Index snapshots refused at load, by what caught it: checksum, shape, golden, limits.",
    ("cause",),
    registry=REGISTRY,
)
RETRIEVER_DEVICE_FALLBACK = Counter(
    "retriever_device_fallbacks_total",
    "Times the CPU took over what a GPU was to search, by why: missing, clone, search, kind (no IVF lists).",
    ("where",),
    registry=REGISTRY,
)
RERANKER_FIRST_CHANGED = Counter(
    "reranker_first_changed_total",
    "Requests whose rank 1 changed.",
    ("component",),
    registry=REGISTRY,
)

MAPPER_REQUESTS = Counter(
    "mapper_requests_total",
    "Mapping requests by status: success, error (ours) or invalid (the caller's fault).",
    ("detector", "status"),
    registry=REGISTRY,
)
MAPPER_DURATION = Histogram(
    "mapper_request_duration_seconds",
    "Duration of a mapping request.",
    ("detector",),
    buckets=_LATENCY_S,
    registry=REGISTRY,
)
MAPPER_SCHEMA_VALID = Gauge(
    "mapper_schema_valid_percentage",
    "Share of model outputs of the last 10 minutes that were schema-valid, percent; NaN without any.",
    (),
    registry=REGISTRY,
)
MAPPER_FALLBACK_PERCENTAGE = Gauge(
    "mapper_fallback_percentage",
    "Share of requests of the last 10 minutes that fell back to rules, percent; NaN without any.",
    (),
    registry=REGISTRY,
)
MAPPER_FALLBACK = Counter(
    "mapper_fallback_total",
    "Fallbacks to rules, one reason each.",
    ("detector", "reason"),
    registry=REGISTRY,
)
MAPPER_MODEL_INVOCATIONS = Counter(
    "mapper_model_invocations_total",
    "Calls of the mapping model.",
    ("component",),
    registry=REGISTRY,
)
MAPPER_RETRIES = Counter(
    "mapper_model_retries_total",
    "Calls of the mapping model that were made again because its first answer was not usable.",
    ("component",),
    registry=REGISTRY,
)
MAPPER_CIRCUIT_OPEN = Gauge(
    "mapper_circuit_open",
    "1 while a mapping model that kept failing is left alone, else 0.",
    ("component",),
    registry=REGISTRY,
)
MAPPER_CONFIDENCE = Histogram(
    "mapper_confidence_score",
    "Calibrated confidence of model answers, 0..1.",
    ("detector",),
    buckets=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0),
    registry=REGISTRY,
)

MAPPER_QUEUE_LAG = Gauge(
    "mapper_queue_lag_seconds",
    "Age of the oldest mapping job that nobody has finished, as a gateway sees the work queue; 0 without one.",
    (),
    registry=REGISTRY,
)
MAPPER_PAYLOAD_REJECTED = Counter(
    "mapper_request_payload_rejected_total",
    "Mapping requests refused for what they carry, by reason: oversize or raw_content.",
    ("reason",),
    registry=REGISTRY,
)

JOBS_PENDING = Gauge(
    "gateway_jobs_pending", "Jobs that no gateway has taken yet.", (), registry=REGISTRY
)
JOBS_ACK_PENDING = Gauge(
    "gateway_jobs_ack_pending",
    "Jobs that a gateway works on, or that wait for their next try.",
    (),
    registry=REGISTRY,
)
JOBS_DEAD = Gauge("gateway_jobs_dead", "Dead letters.", (), registry=REGISTRY)
JOBS_ENDED = Counter(
    "gateway_jobs_total",
    "Jobs that this gateway ended, by state: done, failed or dead.",
    ("state",),
    registry=REGISTRY,
)
IDEMPOTENCY = Counter(
    "gateway_idempotency_total",
    "Requests with an idempotency key, by what became of them: first, replayed, conflict, in_progress, unkept.",
    ("result",),
    registry=REGISTRY,
)

GATEWAY_STAGE_DURATION = Histogram(
    "gateway_stage_duration_seconds",
    "What one stage of a request took as the gateway saw it, the bus included.",
    ("stage",),
    buckets=_LATENCY_S,
    registry=REGISTRY,
)
GATEWAY_DEGRADED = Counter(
    "gateway_degraded_total",
    "Requests answered without a stage.",
    ("stage", "reason"),
    registry=REGISTRY,
)
GATEWAY_EXPLANATIONS = Counter(
    "gateway_explanations_total",
    "Explanations of searches, by what became of them: stored, dropped (too many waited), failed.",
    ("result",),
    registry=REGISTRY,
)
CHOSEN_RECIPROCAL_RANK = Histogram(
    "gateway_chosen_reciprocal_rank_ratio",
    "Reciprocal rank of a passage that was chosen, among the first ten, in one order of a sampled search:"
    " retrieved (before the reranker) or answered; sum over count is MRR@10.",
    ("order", "component", "role"),
    buckets=(0.0, 0.1, 0.125, 0.15, 0.2, 0.25, 0.34, 0.5, 1.0),
    registry=REGISTRY,
)
RERANK_MRR_GAIN = Gauge(
    "gateway_rerank_mrr_gain_ratio",
    "MRR@10 of the answered order less that of the retrieved one, over all choices since the start.",
    ("component", "role"),
    registry=REGISTRY,
)
CONTROLLER_WORKERS = Gauge(
    "controller_workers",
    "Workers seen, by service and readiness.",
    ("service", "readiness"),
    registry=REGISTRY,
)
CONTROLLER_SAMPLES = Counter(
    "controller_samples_total",
    "Samples received, by result: ok or invalid.",
    ("result",),
    registry=REGISTRY,
)
CONTROL_REVISION = Gauge(
    "trimtab_control_revision", "Control revision obeyed.", ("service",), registry=REGISTRY
)
CONTROL_APPLIED = Counter(
    "trimtab_control_acknowledgements_total",
    "Acknowledgements of control changes, by status.",
    ("service", "status"),
    registry=REGISTRY,
)
CONTROL_APPLY_DURATION = Histogram(
    "trimtab_control_apply_seconds",
    "From hearing of a control change to obeying it, preparation included.",
    ("service",),
    buckets=_LATENCY_S,
    registry=REGISTRY,
)
CANARY_WEIGHT = Gauge(
    "controller_canary_weight_bp",
    "Share of requests of the canary, basis points.",
    (),
    registry=REGISTRY,
)
GUARDRAIL_EVIDENCE = Gauge(
    "controller_guardrail_log_evidence",
    "Natural logarithm of a guardrail's e-value on this step; rejects at log(1/alpha).",
    ("guardrail",),
    registry=REGISTRY,
)
ROLLOUT_MOVES = Counter(
    "controller_rollout_moves_total",
    "Automatic moves of rollouts, by event.",
    ("event",),
    registry=REGISTRY,
)
AUDIT_LOST = Counter(
    "controller_audit_entries_lost_total",
    "Entries that the audit stream did not take.",
    (),
    registry=REGISTRY,
)
GATEWAY_REFUSED = Counter(
    "gateway_refused_total",
    "HTTP requests refused at the door, by reason: key, scope, tenant, rate.",
    ("reason",),
    registry=REGISTRY,
)
ALERT_FIRING = Gauge(
    "controller_alert_firing",
    "Whether a trigger or alert fires, as the leading controller sees it: 1 or 0.",
    ("alert", "severity"),
    registry=REGISTRY,
)
SLO_BURN_RATE = Gauge(
    "controller_slo_burn_rate",
    "Share of bad requests over the share that an objective allows, in the last 5m, 30m, 1h or 6h that this"
    " controller heard; NaN on too few requests.",
    ("objective", "window"),
    registry=REGISTRY,
)
SLO_BUDGET_REMAINING = Gauge(
    "controller_slo_budget_remaining_ratio",
    "Share of an objective's error budget of thirty days that is left: 1 untouched, 0 spent, below that overspent.",
    ("objective",),
    registry=REGISTRY,
)
EVALUATION = Gauge(
    "controller_evaluation_ratio",
    "Newest evaluation of a release, for 36 hours, by figure: recall_at_5, recall_at_5_drop, mrr_at_10, contain_at_50;"
    " retrieved_recall_at_5, retrieved_mrr_at_10, retrieved_contain_at_50: before the reranker.",
    ("release", "figure"),
    registry=REGISTRY,
)
TRIGGERS_FIRED = Counter(
    "controller_triggers_fired_total", "Emergency triggers fired.", ("trigger",), registry=REGISTRY
)
