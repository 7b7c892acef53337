"""Queries of the dashboard, in PromQL; pairs of a query and its legend where a panel takes several."""


def rate(metric: str, by: str) -> str:
    """Return events a second of a counter, with its selector if it has one."""
    return f"sum by ({by}) (rate({metric}[$__rate_interval]))"


def quantile(share: float, metric: str, by: str, where: str = "") -> str:
    """Return the value below which a share of a histogram lies; ``where`` is a selector."""
    rates = f"rate({metric}_bucket{where}[$__rate_interval])"
    return f"histogram_quantile({share}, sum by (le, {by}) ({rates}))"


def quantiles(metric: str, by: str, where: str = "") -> tuple[tuple[str, str], ...]:
    """Return the median, the 95th and the 99th percentile, one query each."""
    return tuple(
        (quantile(percent / 100, metric, by, where), f"{{{{{by}}}}} p{percent}")
        for percent in (50, 95, 99)
    )


def mean(metric: str, by: str, span: str = "1h") -> str:
    """Return the mean of a histogram; over an hour what happens seldom."""
    parts = (f"sum by ({by}) (rate({metric}_{part}[{span}]))" for part in ("sum", "count"))
    return " / ".join(parts)


def by_index(metric: str) -> tuple[tuple[str, str], ...]:
    """Return the worst of all replicas for each index."""
    return ((f"max by (collection, component) ({metric})", "{{collection}} {{component}}"),)


def evaluated(figures: str, span: str = "") -> tuple[tuple[str, str], ...]:
    """Return figures of the newest evaluations, or their means over a span."""
    series = f'controller_evaluation_ratio{{figure=~"{figures}"}}'
    values = f"avg_over_time({series}[{span}])" if span else series
    return ((f"max by (release, figure) ({values})", "{{release}} {{figure}}"),)


NEAR_ENOUGH = (
    '1 - (sum(rate(trimtab_bad_events_total{service="retriever",event=~"low_cosine|empty_result"}'
    "[$__rate_interval])) or vector(0))"
    ' / sum(rate(trimtab_requests_total{service="retriever",endpoint="retrieve",outcome="ok"}'
    "[$__rate_interval]))"
)
"""All searches that were answered less those without a near result; before the first of these they have no series."""
