"""Every metric is declared once, in one module, with a name that states its unit."""

import ast
import re

import pytest

from scripts.metric_names import SOURCE, Metric, declared
from tests.architecture.tree import ROOT, imports, literals, parsed, sources

METRICS = declared()
_NAME = re.compile(r"^(trimtab|encoder|retriever|reranker|mapper|controller|gateway)_[a-z0-9_]+$")
_RUNBOOK = {
    "mapper_requests_total",
    "mapper_request_duration_seconds",
    "mapper_schema_valid_percentage",
    "mapper_fallback_percentage",
}
_LABELS = {"text", "query", "tenant", "request_id", "user", "id", "output"}
"""Values that a request chooses: as labels they would grow without bound."""


def test_no_metric_is_declared_twice() -> None:
    names = [metric.name for metric in METRICS]

    assert sorted(set(names)) == sorted(names)


def test_only_the_metrics_module_declares_metrics() -> None:
    kinds = {"Counter", "Gauge", "Histogram", "Summary", "Info", "Enum"}
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources("libs", "services")
        if path != SOURCE
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ImportFrom) and node.module == "prometheus_client"
        for alias in node.names
        if alias.name in kinds
    ]

    assert wrong == []


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)
def test_a_metric_is_named_after_the_service_that_fills_it(metric: Metric) -> None:
    assert _NAME.fullmatch(metric.name)


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)
def test_a_counter_ends_in_total_and_nothing_else_does(metric: Metric) -> None:
    assert metric.name.endswith("_total") is (metric.kind == "Counter")


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)
def test_a_metric_has_a_help_sentence_and_no_label_a_request_can_choose(metric: Metric) -> None:
    assert metric.help.endswith((".", "..."))
    assert _LABELS.isdisjoint(metric.labels)


@pytest.mark.parametrize(
    "metric", [m for m in METRICS if m.kind == "Histogram"], ids=lambda m: m.name
)
def test_buckets_rise(metric: Metric) -> None:
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert len(metric.buckets) >= 5


def test_names_that_the_runbooks_rely_on_are_kept_literally() -> None:
    assert {metric.name for metric in METRICS} >= _RUNBOOK


def test_every_declared_metric_is_filled_somewhere() -> None:
    tree = parsed(SOURCE)
    constants = {
        statement.targets[0].id: ast.literal_eval(statement.value.args[0])
        for statement in tree.body
        if isinstance(statement, ast.Assign)
        and isinstance(statement.targets[0], ast.Name)
        and isinstance(statement.value, ast.Call)
        and statement.value.args
    }
    used = {
        node.id
        for path in sources("libs", "services")
        if path != SOURCE and "trimtab.telemetry.metrics" in imports(path)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Name)
    }

    assert {name: metric for name, metric in constants.items() if name not in used} == {}


def test_no_other_file_spells_a_metric_name() -> None:
    names = {metric.name for metric in METRICS}
    wrong = [
        f"{path.relative_to(ROOT)}:{line} {value}"
        for path in sources("libs", "services")
        if path != SOURCE
        for line, value in literals(path)
        if value in names
    ]

    assert wrong == []
