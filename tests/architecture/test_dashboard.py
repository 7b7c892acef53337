"""The dashboard asks only for metrics and labels that ``telemetry/metrics.py`` declares."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts import export_dashboard
from scripts.dashboard_panels import ROWS, Panel
from scripts.metric_names import declared

METRICS = declared()
_SERIES = {series: metric for metric in METRICS for series in metric.series}
_PREFIXES = {metric.name.partition("_")[0] for metric in METRICS}
_NAME = re.compile(rf"\b(?:{'|'.join(sorted(_PREFIXES))})_\w+")
_BY = re.compile(r"\bby \(([^)]*)\)")
_SCRAPED = "instance"
"""Label that Prometheus gives every series: whose it is."""
_LEGEND = re.compile(r"\{\{(\w+)\}\}")
PANELS = [pytest.param(panel, id=panel.title) for row in ROWS.values() for panel in row]


def test_the_dashboard_is_fresh() -> None:
    stale = "stale: run `python -m scripts.export_dashboard`"

    assert export_dashboard.PATH.read_text() == export_dashboard.render(), stale


def test_every_expression_of_the_file_names_a_declared_series() -> None:
    panels = json.loads(export_dashboard.PATH.read_text())["panels"]
    expressions = [target["expr"] for panel in panels for target in panel.get("targets", [])]

    assert len(expressions) >= 40
    for expression in expressions:
        names = _NAME.findall(expression)
        assert names, expression
        assert set(names) <= set(_SERIES), expression


@pytest.mark.parametrize("panel", PANELS)
def test_a_query_groups_by_labels_that_its_metric_has(panel: Panel) -> None:
    for query, legend in panel.queries:
        labels = {label for name in _NAME.findall(query) for label in _SERIES[name].labels}
        groups = [group.split(", ") for group in _BY.findall(query)]
        grouped = {label for group in groups for label in group}

        assert grouped - {"le", _SCRAPED} <= labels, query
        assert set(_LEGEND.findall(legend)) <= grouped, query


@pytest.mark.parametrize("panel", PANELS)
def test_a_counter_is_shown_as_a_rate_and_brackets_are_closed(panel: Panel) -> None:
    for query, _ in panel.queries:
        for name in _NAME.findall(query):
            counted = _SERIES[name].kind != "Gauge"
            shown = rf"\b(?:rate|increase)\({name}(?:\{{[^}}]*\}})?\["
            assert (re.search(shown, query) is not None) is counted, query
        assert query.count("(") == query.count(")")


def test_prometheus_can_read_every_query(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed; Debian has it in the package prometheus")
    queries = [query for row in ROWS.values() for panel in row for query, _ in panel.queries]
    rules = [
        {"record": f"panel:{number}", "expr": query.replace("$__rate_interval", "1m")}
        for number, query in enumerate(queries)
    ]
    file = tmp_path / "panels.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))

    done = subprocess.run(
        [promtool, "check", "rules", file], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_panels_do_not_overlap() -> None:
    panels = json.loads(export_dashboard.PATH.read_text())["panels"]
    cells = [
        (x, y)
        for panel in panels
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23
