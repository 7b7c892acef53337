"""Alerts: one file, evaluated here and by Prometheus, on metrics that exist, each with a page that says what to do."""

import re
import shutil
import subprocess
from collections import Counter

import pytest
import yaml

from scripts import export_alerts, export_objectives
from scripts.metric_names import declared
from services.controller.triggers import Watch
from tests.architecture.tree import ROOT

_NAME = re.compile(
    r"\b(?:(?:trimtab|encoder|retriever|reranker|mapper|gateway|controller)_[a-z0-9_]+|objective:[a-z0-9_:]+)"
)
_WATCHES = export_alerts.watches()
_RECORDED = {
    rule["record"]
    for group in yaml.safe_load(export_objectives.PATH.read_text())["groups"]
    for rule in group["rules"]
}
_SERIES = frozenset[str](_RECORDED).union(*(metric.series for metric in declared()))


def test_the_rules_for_prometheus_are_fresh() -> None:
    stale = "stale: run `python -m scripts.export_alerts`"

    assert export_alerts.PATH.read_text() == export_alerts.render(), stale


@pytest.mark.parametrize("watch", _WATCHES, ids=lambda w: w.trigger.name + w.trigger.profile)
def test_every_alert_rests_on_metrics_that_exist_and_says_what_to_do(watch: Watch) -> None:
    page = (ROOT / "docs" / "alerts.md").read_text()

    assert set(_NAME.findall(watch.trigger.expr)) <= _SERIES
    assert f"\n## {watch.trigger.name}\n" in page
    assert watch.trigger.notes


def test_the_page_describes_no_alert_that_does_not_exist() -> None:
    page = (ROOT / "docs" / "alerts.md").read_text()

    known = {watch.trigger.name for watch in _WATCHES} | {export_alerts.TRIGGER_FIRED}
    assert set(re.findall(r"^## (.+)$", page, re.M)) == known


def test_prometheus_has_a_rule_for_every_trigger_and_alert_on_series_that_exist() -> None:
    groups = yaml.safe_load(export_alerts.PATH.read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]

    wanted = Counter(watch.trigger.name for watch in _WATCHES) + Counter(
        [export_alerts.TRIGGER_FIRED]
    )
    assert Counter(rule["alert"] for rule in rules) == wanted
    for rule in rules:
        names = set(_NAME.findall(rule["expr"]))
        assert names, rule["alert"]
        assert names <= _SERIES, rule["alert"]


@pytest.mark.parametrize(
    "words",
    [
        ("check", "rules", "objectives.yml", "alerts.yml"),
        ("test", "rules", "alerts.test.yml"),
        ("test", "rules", "objectives.test.yml"),
    ],
)
def test_promtool_finds_every_rule_right(words: tuple[str, ...]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed; Debian has it in the package prometheus")

    done = subprocess.run(
        [promtool, *words],
        cwd=export_alerts.PATH.parent,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
