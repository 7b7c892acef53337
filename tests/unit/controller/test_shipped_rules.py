"""Every shipped trigger and alert, at the runbooks' own figures: quiet up to its threshold, firing after its duration."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from scripts.export_alerts import SOURCE, TRIGGERS, watches
from services.controller.readings import METRICS, Heard, Reading
from services.controller.triggers import Watch, step
from tests.unit.controller.records import sample
from trimtab.contracts.errors import STATUS, ErrorCode
from trimtab.contracts.samples import ADVICE, Sample

MINUTE, HOUR = 60.0, 3600.0
PLENTY = 10_000
"""Requests: enough for any rule."""
TICK_S = 60.0
"""Between two looks; gaps in the data are another test's."""


@dataclass(frozen=True)
class Rule:
    """What the runbook says, written down here once more by hand."""

    name: str
    metric: str
    calm: float
    """The threshold itself, or the value next to it that is still well."""
    loud: float
    """The smallest excess."""
    for_s: float
    severity: str
    profile: Literal["", "cpu", "gpu"] = ""

    @property
    def key(self) -> tuple[str, Literal["", "cpu", "gpu"]]:
        return self.name, self.profile


RULES = [
    # Runbook 4, section 7.
    Rule("Embedding Latency Degradation", "embedding_duration_p95", 2.0, 2.01, 10 * MINUTE, "critical"),
    Rule("GPU Failure Rate", "gpu_failure_rate", 0.20, 0.201, 5 * MINUTE, "critical"),
    Rule("Token Overflow Rate", "token_overflow_rate", 0.15, 0.151, 15 * MINUTE, "warning"),
    Rule("vLLM Service Down", "vllm_service_up", 1.0, 0.0, 5 * MINUTE, "critical"),
    # Runbook 5, emergency rollback and critical alerts.
    Rule("Search Error Rate", "search_error_rate", 0.01, 0.0101, 10 * MINUTE, "critical"),
    Rule("Search Latency", "search_duration_p95", 0.020, 0.0201, 10 * MINUTE, "critical"),
    Rule("Retrieval Quality", "recall_at_5_drop", 0.10, 0.101, 0.0, "critical"),
    # Runbook 2.
    Rule("MapperSchemaValidLow", "map_schema_valid_rate", 0.995, 0.994, 10 * MINUTE, "warning"),
    Rule("MapperFallbackHigh", "map_fallback_rate", 0.10, 0.101, 10 * MINUTE, "warning"),
    Rule("MapperLatencyP95High", "map_duration_p95", 0.250, 0.251, 15 * MINUTE, "warning", "cpu"),
    Rule("MapperLatencyP95High", "map_duration_p95", 0.150, 0.151, 15 * MINUTE, "warning", "gpu"),
    Rule("Mapper5xxHigh", "map_error_rate", 0.01, 0.0101, 5 * MINUTE, "critical"),
    Rule("MapperQueueLagHigh", "mapper_queue_lag", 30.0, 30.1, 10 * MINUTE, "warning"),
    # Runbook 4, section 5.
    Rule("EmbeddingGpuUnavailable", "vllm_service_up", 1.0, 0.0, MINUTE, "critical"),
    Rule("EmbeddingThroughputLow", "embedding_throughput", 500.0, 499.0, 10 * MINUTE, "warning"),
    Rule("EmbeddingLatencyHigh", "retrieval_duration_p95", 0.080, 0.081, 5 * MINUTE, "warning"),
    # Runbook 5, warnings, information and automated alerts.
    Rule("SearchLatencyRaised", "search_duration_p95", 0.010, 0.0101, 30 * MINUTE, "warning"),
    Rule("SearchLatencyLasting", "search_duration_p95", 0.012, 0.0121, HOUR, "warning"),
    Rule("ErrorBudgetBurnsFast", "budget_burn_fast", 14.4, 14.5, 2 * MINUTE, "critical"),
    Rule("ErrorBudgetBurnsSlowly", "budget_burn_slow", 6.0, 6.1, 15 * MINUTE, "warning"),
    Rule("RecallDropped", "recall_at_5_drop", 0.05, 0.051, 0.0, "warning"),
    Rule("RecallSinking", "recall_at_5_drop", 0.03, 0.031, 0.0, "warning"),
    Rule("ContainmentLow", "contain_at_50", 0.80, 0.799, 0.0, "warning"),
    Rule("RerankerIdle", "rerank_acceptance_rate", 0.10, 0.099, 10 * MINUTE, "info"),
    Rule("MemoryGrown", "memory_growth", 0.20, 0.201, 10 * MINUTE, "info"),
    Rule("IndexRebuildAdvised", "index_rebuild_advised", 0.0, 1.0, 10 * MINUTE, "info"),
]  # fmt: skip

SHIPPED = {(w.trigger.name, w.trigger.profile): w for w in watches()}
each = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name + rule.profile)


def looked(watch: Watch, value: float, until: float, requests: int = PLENTY) -> Watch:
    """Return the watch after looks from 0 to ``until`` that all saw the same."""
    now = 0.0
    while now < until:
        watch = step(watch, Reading(value, requests), now)
        now += TICK_S
    return step(watch, Reading(value, requests), until)


def test_every_shipped_rule_stands_here_once() -> None:
    assert sorted(rule.key for rule in RULES) == sorted(SHIPPED)


@each
def test_a_rule_measures_what_the_runbook_names_and_wakes_whom_it_says(rule: Rule) -> None:
    watch = SHIPPED[rule.key]

    assert watch.condition.metric == rule.metric
    assert watch.trigger.severity == rule.severity


@each
def test_a_rule_is_quiet_at_its_threshold_however_long_that_lasts(rule: Rule) -> None:
    until = rule.for_s + HOUR
    seen = looked(SHIPPED[rule.key], rule.calm, until)

    assert (seen.fired, seen.state(until)) == (False, "quiet")


@each
def test_a_rule_fires_past_its_threshold_after_its_whole_duration_and_not_before(
    rule: Rule,
) -> None:
    watch = SHIPPED[rule.key]
    early = looked(watch, rule.loud, rule.for_s - 1.0) if rule.for_s else watch
    due = looked(watch, rule.loud, rule.for_s)

    assert not early.fired
    assert (due.fired, due.state(rule.for_s)) == (True, "firing")


@each
def test_a_rule_is_over_with_the_first_calm_look_and_begins_anew(rule: Rule) -> None:
    after = rule.for_s + TICK_S
    due = looked(SHIPPED[rule.key], rule.loud, rule.for_s)
    over = step(due, Reading(rule.calm, PLENTY), after)
    again = step(over, Reading(rule.loud, PLENTY), after + TICK_S)

    assert (over.fired, over.state(after)) == (False, "quiet")
    assert again.fired is (rule.for_s == 0)


@pytest.mark.parametrize(
    "watch",
    [w for w in SHIPPED.values() if w.trigger.min_requests > 1],
    ids=lambda w: w.trigger.name + w.trigger.profile,
)
def test_a_rule_says_nothing_on_fewer_requests_than_it_wants(watch: Watch) -> None:
    [loud] = [r.loud for r in RULES if r.key == (watch.trigger.name, watch.trigger.profile)]
    until = watch.condition.for_s + HOUR

    few = looked(watch, loud, until, watch.trigger.min_requests - 1)
    enough = looked(watch, loud, until, watch.trigger.min_requests)

    assert (few.state(until), enough.state(until)) == ("unknown", "firing")


def test_only_the_critical_ones_of_the_triggers_roll_back() -> None:
    for watch in watches(TRIGGERS):
        wanted = "rollback" if watch.trigger.severity == "critical" else "alert"
        assert watch.trigger.action == wanted
    assert {watch.trigger.action for watch in watches(SOURCE)} == {"alert"}


def test_prometheus_counts_the_same_outcomes_as_errors_as_the_controller() -> None:
    expr = SHIPPED["Search Error Rate", ""].trigger.expr
    named = re.search(r'outcome=~"([^"]+)"', expr)
    ours = {code.value for code in ErrorCode if STATUS[code] >= 500} | {ErrorCode.DEADLINE.value}

    assert named is not None
    assert set(named[1].split("|")) == ours


def retriever(instance: str, at: float, **advice: str) -> Sample:
    facts: dict[str, float | int | str] = {f"{ADVICE}{name}": text for name, text in advice.items()}
    taken = msgspec.structs.replace(sample(at), service="retriever", instance=instance)
    return msgspec.structs.replace(taken, facts=facts)


def test_one_collection_of_one_retriever_is_enough_to_advise_a_rebuild_and_its_last_word_counts() -> (
    None
):
    measure = METRICS["index_rebuild_advised"]
    calm, grown = {"docs": "", "notes": ""}, {"docs": "", "notes": "rebuild: grew 12 %"}

    assert measure(Heard([retriever("a", 1, **calm), retriever("b", 1, **grown)])) == Reading(
        1.0, 4
    )
    assert measure(Heard([retriever("a", 1, **grown), retriever("a", 2, **calm)])) == Reading(
        0.0, 2
    )
    assert measure(Heard([sample(1.0)])) is None


PAGE = Path("docs/alerts.md").read_text()
ROWS = re.findall(r"^\| ([^|]+) \| (critical|warning|info) \| `([^`]+)` \| (.+) \|$", PAGE, re.M)


def test_the_page_maps_every_line_of_runbook_5_to_a_rule_of_that_severity() -> None:
    names = {name: watch for (name, _), watch in SHIPPED.items()}

    assert len(ROWS) == 12
    for _line, severity, name, _tested in ROWS:
        assert names[name].trigger.severity == severity


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row[0]))
def test_where_the_page_says_that_a_rule_is_tested_its_name_stands(
    row: tuple[str, str, str, str],
) -> None:
    files = re.findall(r"`([\w/.]+\.(?:py|yml))`", row[3])

    assert len(files) >= 2
    for file in files:
        assert row[2] in Path(file).read_text(), f"{file} does not name {row[2]}"
