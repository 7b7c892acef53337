"""Error budgets: what counts, how fast it burns, what is left, and what a restart must not forget."""

import asyncio
import math
from pathlib import Path

import msgspec
import pytest
import structlog
from datasketches import kll_doubles_sketch

from scripts import export_objectives
from scripts.metric_names import declared
from services.controller.budgets import PERIOD_S, Budget, burning
from services.controller.objectives import load_objectives
from services.controller.treasury import Treasury
from tests.unit.controller.records import BEGAN, sample
from trimtab.contracts.errors import InvalidCommand
from trimtab.contracts.samples import EndpointSample, Sample
from trimtab.telemetry.metrics import REGISTRY

NOW = BEGAN
MINUTE, HOUR = 60.0, 3600.0
SHIPPED = {each.name: each for each in load_objectives(export_objectives.POLICIES)}


def told(service: str, endpoint: str, *took_ms: float, **outcomes: int) -> Sample:
    """What one worker says of a second in which it answered so fast, or so."""
    sketch = kll_doubles_sketch(200)
    for each in took_ms:
        sketch.update(each)
    part = EndpointSample(
        endpoint=endpoint,
        component="",
        release="base",
        role="stable",
        outcomes=outcomes or {"ok": len(took_ms)},
        latency=sketch.serialize(),
        bad={},
    )
    return msgspec.structs.replace(sample(NOW, part), service=service)


def retrieved(fast: int, slow: int) -> Sample:
    return told("retriever", "retrieve", *[8.0] * fast, *[8.5] * slow)


def spent(*heard: tuple[float, Sample], name: str = "retrieve") -> Budget:
    budget = Budget(SHIPPED[name])
    for at, each in heard:
        budget.hear(each, at)
    return budget


def test_the_shipped_objectives_are_the_runbooks() -> None:
    promised = {(o.service, o.endpoint, o.event): o.allowed for o in SHIPPED.values()}

    assert promised == {
        ("retriever", "retrieve", "latency > 8ms"): 0.05,
        ("reranker", "rerank", "latency > 2ms"): 0.05,
        ("gateway", "pipeline_search", "error"): 0.01,
    }


def test_every_bound_of_a_shipped_objective_is_a_bucket_so_that_prometheus_counts_exactly() -> None:
    [histogram] = [m for m in declared() if m.name == "trimtab_request_duration_seconds"]
    bounds = {o.within_s for o in SHIPPED.values()} - {None}

    assert bounds == {0.008, 0.002}
    assert bounds <= set(histogram.buckets)


def test_the_recording_rules_are_fresh() -> None:
    stale = "stale: run `python -m scripts.export_objectives`"

    assert export_objectives.PATH.read_text() == export_objectives.render(), stale


def test_a_request_at_the_bound_is_good_and_one_past_it_bad() -> None:
    budget = spent((NOW, retrieved(fast=90, slow=10)))

    assert budget.burn("5m", NOW) == pytest.approx(2.0)


def test_errors_of_ours_and_late_answers_burn_and_those_of_the_caller_do_not() -> None:
    searches = told("gateway", "pipeline_search", ok=95, invalid=3, deadline=1, internal=1)

    assert spent((NOW, searches), name="errors").burn("1h", NOW) == pytest.approx(2.0)


@pytest.mark.parametrize(
    "other", [told("reranker", "retrieve", *[99.0] * 60), told("retriever", "score", *[99.0] * 60)]
)
def test_other_services_and_endpoints_do_not_count(other: Sample) -> None:
    assert spent((NOW, other)).burn("5m", NOW) is None


def test_what_an_operator_measures_spends_nothing() -> None:
    measured = retrieved(0, 100)
    [part] = measured.endpoints
    ours = msgspec.structs.replace(measured, endpoints=[msgspec.structs.replace(part, role="")])

    assert spent((NOW, ours)).burn("5m", NOW) is None
    assert spent((NOW, ours), (NOW, retrieved(100, 0))).burn("5m", NOW) == 0.0


def test_fewer_requests_than_the_least_say_nothing() -> None:
    least = SHIPPED["retrieve"].least

    assert spent((NOW, retrieved(0, least - 1))).burn("5m", NOW) is None
    assert spent((NOW, retrieved(0, least))).burn("5m", NOW) == pytest.approx(20.0)


def test_each_window_holds_what_came_in_it_and_no_more() -> None:
    budget = spent((NOW, retrieved(0, 100)), (NOW + 2 * HOUR, retrieved(300, 0)))
    then = NOW + 2 * HOUR + MINUTE

    burns = {window: budget.burn(window, then) for window in ("5m", "30m", "1h", "6h")}

    assert burns == {"5m": 0.0, "30m": 0.0, "1h": 0.0, "6h": pytest.approx(5.0)}


def test_a_budget_is_what_is_left_of_thirty_days() -> None:
    first = (NOW, retrieved(96, 4))
    second = (NOW + 12 * HOUR, retrieved(100, 0))

    assert spent().remaining(NOW) == 1.0
    assert spent(first).remaining(NOW) == pytest.approx(0.2)
    assert spent(first, second).remaining(NOW + 12 * HOUR) == pytest.approx(0.6)
    assert spent(first, second).remaining(NOW + PERIOD_S + HOUR) == pytest.approx(1.0)
    assert spent((NOW, retrieved(0, 50))).remaining(NOW) == pytest.approx(-19.0)


def test_what_is_over_is_forgotten_and_changes_no_figure() -> None:
    budget = spent((NOW, retrieved(50, 50)), (NOW + 7 * HOUR, retrieved(100, 0)))
    then = NOW + 7 * HOUR
    before = budget.status(then)

    budget.forget(then)

    assert budget.status(then) == before
    assert len(budget.counted.minutes) == 1
    assert len(budget.counted.hours) == 2


def test_both_windows_of_a_pair_must_burn() -> None:
    over = spent((NOW, retrieved(0, 1000)), (NOW + 30 * MINUTE, retrieved(100, 0)))
    lasting = spent((NOW, retrieved(0, 1000)), (NOW + 30 * MINUTE, retrieved(0, 100)))
    then = NOW + 30 * MINUTE

    assert burning([over], then)["fast"].value == 0.0
    assert burning([lasting], then)["fast"].value == pytest.approx(20.0)
    assert burning([lasting], then)["fast"].requests == 1100


def test_the_budget_that_burns_most_speaks_and_one_with_too_few_requests_hides_none() -> None:
    quiet = spent((NOW, retrieved(99, 1)))
    few = spent((NOW, told("reranker", "rerank", 9.0)), name="rerank")
    worst = spent((NOW, told("gateway", "pipeline_search", ok=50, internal=50)), name="errors")

    assert burning([few, quiet, worst], NOW)["slow"].value == pytest.approx(50.0)
    assert burning([few], NOW) == {}


def treasury(file: Path) -> Treasury:
    return Treasury(tuple(SHIPPED.values()), file, structlog.get_logger())


async def test_a_restart_goes_on_from_what_the_leader_kept(tmp_path: Path) -> None:
    file = tmp_path / "controller" / "budgets.json"
    first, second = treasury(file), treasury(file)
    first.hear(retrieved(50, 50), NOW)
    await first.tidy(NOW, leads=True)

    await second.recall()
    second.hear(retrieved(100, 0), NOW)

    assert first.status(NOW)[0].burn["6h"] == pytest.approx(10.0)
    assert second.status(NOW)[0].burn["6h"] == pytest.approx(5.0)
    assert second.status(NOW)[0].remaining == pytest.approx(-4.0)


@pytest.mark.parametrize("changed", [{"event": "latency > 9ms"}, {"endpoint": "score"}])
async def test_an_objective_that_counts_something_else_begins_anew(
    tmp_path: Path, changed: dict[str, str]
) -> None:
    file, log = tmp_path / "budgets.json", structlog.get_logger()
    before = Treasury((SHIPPED["retrieve"],), file, log)
    before.hear(retrieved(0, 100), NOW)
    await before.keep()
    edited = Treasury((msgspec.structs.replace(SHIPPED["retrieve"], **changed),), file, log)
    allows = Treasury((msgspec.structs.replace(SHIPPED["retrieve"], allowed=0.5),), file, log)

    await edited.recall()
    await allows.recall()

    assert edited.status(NOW)[0].remaining == 1.0
    assert allows.status(NOW)[0].remaining == pytest.approx(-1.0)


async def test_who_does_not_lead_writes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "budgets.json"
    await treasury(file).tidy(NOW, leads=False)

    assert not await asyncio.to_thread(file.exists)


@pytest.mark.parametrize("data", [b"", b"{", b'{"retrieve": 3}', b"[1]"])
async def test_a_file_that_cannot_be_read_begins_anew(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "budgets.json"
    await asyncio.to_thread(file.write_bytes, data)
    found = treasury(file)

    await found.recall()

    assert [status.remaining for status in found.status(NOW)] == [1.0, 1.0, 1.0]


async def test_the_gauges_show_what_the_budgets_say_and_nan_where_they_say_nothing(
    tmp_path: Path,
) -> None:
    found = treasury(tmp_path / "budgets.json")
    found.hear(retrieved(90, 10), NOW)
    await found.tidy(NOW, leads=False)

    def shown(metric: str, **labels: str) -> float | None:
        return REGISTRY.get_sample_value(metric, labels)

    assert shown("controller_slo_burn_rate", objective="retrieve", window="1h") == pytest.approx(
        2.0
    )
    assert shown("controller_slo_budget_remaining_ratio", objective="retrieve") == pytest.approx(
        -1.0
    )
    unknown = shown("controller_slo_burn_rate", objective="errors", window="1h")
    assert unknown is not None
    assert math.isnan(unknown)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("objectives: [{name: a}]", "missing required field"),
        ("objectives: [{name: a, source: s, service: g, endpoint: e, event: slow, allowed: 0.1}]", "regex"),
        ("objectives: [{name: a, source: s, service: g, endpoint: e, event: error, allowed: 0}]", "> 0"),
        ("promises: []", "unknown field `promises`"),
        ("objectives: [" + ", ".join(["{name: a, source: s, service: g, endpoint: e, event: error, allowed: 0.1}"] * 2) + "]", "one name"),
    ],
)  # fmt: skip
def test_a_file_that_promises_nonsense_is_refused_with_its_name(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "objectives.yaml").write_text(text)

    with pytest.raises(InvalidCommand, match=f"objectives.yaml: .*{said}"):
        load_objectives(tmp_path)


def test_a_folder_without_objectives_promises_nothing(tmp_path: Path) -> None:
    assert load_objectives(tmp_path) == ()
