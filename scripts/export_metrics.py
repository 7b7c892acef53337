"""Writes ``docs/metrics.md`` from the declarations in ``telemetry/metrics.py``.

Usage: ``python -m scripts.export_metrics``
"""

from pathlib import Path

from scripts.docstrings import one_line
from scripts.metric_names import Metric, declared

PATH = Path(__file__).parents[1] / "docs" / "metrics.md"

_INTRODUCTION = """\
# Metrics

Generated from `libs/trimtab/telemetry/metrics.py` by `python -m scripts.export_metrics`; a test fails when it is
stale. Every process serves these at `/metrics`. A name's first word is the service that fills it, `trimtab`
when every worker does. Label values come from closed sets and component names, never from requests.
"""


def render() -> str:
    """Return the whole page, one table per prefix, in the order of declaration."""
    metrics = declared()
    by_prefix: dict[str, list[Metric]] = {}
    for metric in metrics:
        by_prefix.setdefault(metric.name.partition("_")[0], []).append(metric)
    parts = [_INTRODUCTION]
    for prefix, group in by_prefix.items():
        parts += [f"## {prefix}\n", "| metric | kind | labels | meaning |", "|---|---|---|---|"]
        parts += [*map(_row, group), ""]
    parts += ["## Buckets\n", "| histogram | upper bounds |", "|---|---|"]
    parts += [f"| `{m.name}` | {_bounds(m)} |" for m in metrics if m.kind == "Histogram"]
    return "\n".join(parts) + "\n"


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind.lower()} | {labels} | {one_line(metric.help)} |"


def _bounds(metric: Metric) -> str:
    return ", ".join(f"{bound:g}" for bound in metric.buckets)


def main() -> None:
    """Write the page."""
    PATH.write_text(render())


if __name__ == "__main__":
    main()
