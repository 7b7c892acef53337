"""What the dashboard shows, as a table: a row is a title, a unit and its queries."""

from dataclasses import dataclass

from scripts.dashboard_queries import (
    NEAR_ENOUGH,
    by_index,
    evaluated,
    mean,
    quantile,
    quantiles,
    rate,
)


@dataclass(frozen=True)
class Panel:
    """One graph."""

    title: str
    """What the reader asks."""
    unit: str
    """Grafana's unit id."""
    queries: tuple[tuple[str, str], ...]
    """PromQL and legend, one pair a line."""
    signed: bool = False
    """Whether values below 0 mean something; else the axis begins at 0."""
    note: str = ""
    """What a reader should know, shown at the title; empty: nothing."""


ROWS: dict[str, tuple[Panel, ...]] = {
    "Requests": (
        Panel(
            "Requests by outcome",
            "reqps",
            ((rate("trimtab_requests_total", "service, outcome"), "{{service}} {{outcome}}"),),
        ),
        Panel(
            "Searches and encodings a second",
            "reqps",
            (
                (
                    rate('trimtab_requests_total{endpoint=~"pipeline_search|encode"}', "endpoint"),
                    "{{endpoint}}",
                ),
            ),
        ),
        Panel(
            "Whole searches: median, 95th and 99th percentile",
            "s",
            quantiles(
                "trimtab_request_duration_seconds", "endpoint", '{endpoint="pipeline_search"}'
            ),
        ),
        Panel(
            "Service time, 95th percentile",
            "s",
            (
                (
                    quantile(0.95, "trimtab_request_duration_seconds", "service, endpoint"),
                    "{{service}} {{endpoint}}",
                ),
            ),
        ),
        Panel(
            "Stages as the gateway sees them: median, 95th and 99th percentile",
            "s",
            quantiles("gateway_stage_duration_seconds", "stage"),
        ),
        Panel(
            "Answered without a stage",
            "reqps",
            ((rate("gateway_degraded_total", "stage, reason"), "{{stage}} {{reason}}"),),
        ),
    ),
    "Workers": (
        Panel(
            "Workers by readiness",
            "short",
            (("sum by (service, readiness) (controller_workers)", "{{service}} {{readiness}}"),),
        ),
        Panel(
            "In flight, and refused before any work",
            "short",
            (
                ("sum by (service) (trimtab_in_flight_requests)", "{{service}} in flight"),
                (rate("trimtab_shed_total", "service, code"), "{{service}} {{code}}/s"),
            ),
        ),
        Panel(
            "Waiting for the model or index, 95th percentile",
            "s",
            ((quantile(0.95, "trimtab_queue_duration_seconds", "service"), "{{service}}"),),
        ),
        Panel(
            "Bus: errors and reconnects",
            "ops",
            (
                (rate("trimtab_bus_errors_total", "service, kind"), "{{service}} {{kind}}"),
                (rate("trimtab_bus_reconnects_total", "service"), "{{service}} reconnects"),
            ),
        ),
    ),
    "Encoding and retrieval": (
        Panel(
            "Texts and tokens encoded",
            "ops",
            (
                (rate("encoder_texts_total", "component"), "{{component}} texts"),
                (rate("encoder_tokens_total", "component"), "{{component}} tokens"),
            ),
        ),
        Panel(
            "Cache look-ups, and texts over the budget",
            "ops",
            (
                (rate("encoder_cache_total", "result"), "{{result}}"),
                (rate("encoder_token_overflow_total", "policy"), "over budget: {{policy}}"),
            ),
        ),
        Panel(
            "Parts of a search: median, 95th and 99th percentile",
            "s",
            quantiles("retriever_search_duration_seconds", "part"),
        ),
        Panel(
            "Passages searchable",
            "short",
            (("max by (collection) (retriever_passages)", "{{collection}}"),),
        ),
    ),
    "Alerts and error budgets": (
        Panel(
            "Alerts that fire",
            "none",
            (
                (
                    "max by (alert, severity) (controller_alert_firing) > 0",
                    "{{alert}} ({{severity}})",
                ),
            ),
        ),
        Panel(
            "What is left of thirty days' error budgets",
            "percentunit",
            (("min by (objective) (controller_slo_budget_remaining_ratio)", "{{objective}}"),),
            signed=True,
            note="Retrieval: 95 % within 8 ms; reranking: 95 % within 2 ms; errors: at most 1 % of searches.",
        ),
        Panel(
            "Burn rates by window",
            "none",
            (
                (
                    "max by (objective, window) (controller_slo_burn_rate)",
                    "{{objective}} {{window}}",
                ),
            ),
            note="1 spends exactly the budget; 14.4 in 1h and 5m pages, 6 in 6h and 30m warns.",
        ),
    ),
    "Evaluations on held-out queries": (
        Panel(
            "Newest evaluation, as answered",
            "percentunit",
            evaluated("recall_at_5|mrr_at_10|contain_at_50"),
            note="Per article: `trimtab eval run --report FILE`; an article's name is no label.",
        ),
        Panel(
            "Newest evaluation, before the reranker",
            "percentunit",
            evaluated("retrieved_.+"),
            note="Of `trimtab eval run --no-rerank`, made within a day before the published run.",
        ),
        Panel(
            "R@5 lost against the median of earlier runs",
            "percentunit",
            evaluated("recall_at_5_drop"),
            signed=True,
        ),
        Panel(
            "Mean of seven days, before the reranker and as answered",
            "percentunit",
            evaluated("(retrieved_)?(recall_at_5|mrr_at_10|contain_at_50)", "7d"),
        ),
    ),
    "Quality": (
        Panel(
            "Bad events",
            "ops",
            ((rate("trimtab_bad_events_total", "service, event"), "{{service}} {{event}}"),),
        ),
        Panel(
            "Mapping: schema-valid and fallback",
            "percent",
            (
                ("min(mapper_schema_valid_percentage)", "schema-valid"),
                ("max(mapper_fallback_percentage)", "fallback"),
            ),
        ),
        Panel(
            "Mapping: why the rules decided",
            "ops",
            ((rate("mapper_fallback_total", "reason"), "{{reason}}"),),
        ),
    ),
    "Searches": (
        Panel(
            "Share of searches with a result near enough",
            "percentunit",
            ((NEAR_ENOUGH, "at least the plan's low_cosine"),),
            note="Quality proxy of runbook 5: the best cosine is at least `low_cosine` of the retriever's plan.",
        ),
        Panel(
            "Mean cosine between the first five results as retrieved",
            "none",
            (
                (
                    mean("retriever_top_five_cosine", "component", "$__rate_interval"),
                    "{{component}}",
                ),
            ),
            note="Near 1 they all say the same.",
        ),
    ),
    "Indexes": (
        Panel("Imbalance of the lists", "none", by_index("retriever_index_imbalance_ratio")),
        Panel("Longest list over the mean", "none", by_index("retriever_index_hottest_list_ratio")),
        Panel(
            "Grown since the index was trained",
            "percentunit",
            by_index("retriever_index_growth_ratio"),
            signed=True,
        ),
        Panel("Rebuild advised", "none", by_index("retriever_index_rebuild_advised")),
        Panel(
            "Passages added or replaced, and removed, in a day",
            "short",
            (
                (
                    "max by (collection) (increase(retriever_passages_upserted_total[1d]))",
                    "{{collection}} added or replaced",
                ),
                (
                    "max by (collection) (increase(retriever_passages_removed_total[1d]))",
                    "{{collection}} removed",
                ),
            ),
        ),
        Panel(
            "More passages than a day ago",
            "short",
            (("max by (collection) (delta(retriever_passages[1d]))", "{{collection}}"),),
            signed=True,
        ),
        Panel(
            "Memory of each worker",
            "bytes",
            (
                (
                    "max by (service, instance) (trimtab_resident_memory_bytes)",
                    "{{service}} {{instance}}",
                ),
            ),
        ),
    ),
    "Reranking": (
        Panel(
            "Share of searches whose rank 1 the reranker changed",
            "percentunit",
            (
                (
                    rate("reranker_first_changed_total", "component")
                    + " / "
                    + rate(
                        'trimtab_requests_total{service="reranker",endpoint="rerank",outcome="ok"}',
                        "component",
                    ),
                    "{{component}}",
                ),
            ),
            note="20 to 40 % is usual; under 10 % it hardly helps (runbook 5).",
        ),
        Panel(
            "MRR@10 of what people chose, as retrieved and as answered",
            "none",
            (
                (
                    mean("gateway_chosen_reciprocal_rank_ratio", "order, component, role"),
                    "{{order}} {{component}} {{role}}",
                ),
            ),
        ),
        Panel(
            "MRR@10 gained by the reranker",
            "none",
            (
                (
                    "avg by (component, role) (gateway_rerank_mrr_gain_ratio)",
                    "{{component}} {{role}}",
                ),
            ),
            signed=True,
        ),
    ),
}
"""Rows of the dashboard, top to bottom; every metric is one that ``telemetry/metrics.py`` declares."""
