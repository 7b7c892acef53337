"""What the dashboard shows, as a table: a row is a title, a unit and its queries."""

from dataclasses import dataclass


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


def _rate(metric: str, by: str) -> str:
    return f"sum by ({by}) (rate({metric}[$__rate_interval]))"


def _quantile(quantile: float, metric: str, by: str) -> str:
    return f"histogram_quantile({quantile}, sum by (le, {by}) (rate({metric}_bucket[$__rate_interval])))"


def _mean(metric: str, by: str) -> str:
    """Return the mean of a histogram over an hour: of what happens seldom."""
    return f"sum by ({by}) (rate({metric}_sum[1h])) / sum by ({by}) (rate({metric}_count[1h]))"


ROWS: dict[str, tuple[Panel, ...]] = {
    "Requests": (
        Panel(
            "Requests by outcome",
            "reqps",
            ((_rate("trimtab_requests_total", "service, outcome"), "{{service}} {{outcome}}"),),
        ),
        Panel(
            "Service time, 95th percentile",
            "s",
            (
                (
                    _quantile(0.95, "trimtab_request_duration_seconds", "service, endpoint"),
                    "{{service}} {{endpoint}}",
                ),
            ),
        ),
        Panel(
            "Stages as the gateway sees them, median and 95th percentile",
            "s",
            (
                (_quantile(0.5, "gateway_stage_duration_seconds", "stage"), "{{stage}} p50"),
                (_quantile(0.95, "gateway_stage_duration_seconds", "stage"), "{{stage}} p95"),
            ),
        ),
        Panel(
            "Answered without a stage",
            "reqps",
            ((_rate("gateway_degraded_total", "stage, reason"), "{{stage}} {{reason}}"),),
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
                (_rate("trimtab_shed_total", "service, code"), "{{service}} {{code}}/s"),
            ),
        ),
        Panel(
            "Waiting for the model or index, 95th percentile",
            "s",
            ((_quantile(0.95, "trimtab_queue_duration_seconds", "service"), "{{service}}"),),
        ),
        Panel(
            "Bus: errors and reconnects",
            "ops",
            (
                (_rate("trimtab_bus_errors_total", "service, kind"), "{{service}} {{kind}}"),
                (_rate("trimtab_bus_reconnects_total", "service"), "{{service}} reconnects"),
            ),
        ),
    ),
    "Encoding and retrieval": (
        Panel(
            "Texts and tokens encoded",
            "ops",
            (
                (_rate("encoder_texts_total", "component"), "{{component}} texts"),
                (_rate("encoder_tokens_total", "component"), "{{component}} tokens"),
            ),
        ),
        Panel(
            "Cache look-ups, and texts over the budget",
            "ops",
            (
                (_rate("encoder_cache_total", "result"), "{{result}}"),
                (_rate("encoder_token_overflow_total", "policy"), "over budget: {{policy}}"),
            ),
        ),
        Panel(
            "Parts of a search, 95th percentile",
            "s",
            ((_quantile(0.95, "retriever_search_duration_seconds", "part"), "{{part}}"),),
        ),
        Panel(
            "Passages searchable",
            "short",
            (("max by (collection) (retriever_passages)", "{{collection}}"),),
        ),
    ),
    "Alerts and evaluations": (
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
            "Newest evaluation of each release",
            "percentunit",
            (
                (
                    "max by (release, figure) (controller_evaluation_ratio)",
                    "{{release}} {{figure}}",
                ),
            ),
            signed=True,
        ),
    ),
    "Quality": (
        Panel(
            "Bad events",
            "ops",
            ((_rate("trimtab_bad_events_total", "service, event"), "{{service}} {{event}}"),),
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
            ((_rate("mapper_fallback_total", "reason"), "{{reason}}"),),
        ),
    ),
    "Reranking": (
        Panel(
            "Rank 1 changed by the reranker",
            "ops",
            ((_rate("reranker_first_changed_total", "component"), "{{component}}"),),
        ),
        Panel(
            "MRR@10 of what people chose, as retrieved and as answered",
            "none",
            (
                (
                    _mean("gateway_chosen_reciprocal_rank_ratio", "order, component, role"),
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
