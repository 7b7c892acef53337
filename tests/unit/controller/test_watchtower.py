"""One cause takes back one release: whatever fires together, and whoever else writes meanwhile."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from services.controller.triggers import FORGETS_S, Watch, parse_triggers
from services.controller.watchtower import LONGER, Watchtower
from tests.unit.control.documents import canary, controls, kill, state
from trimtab.bus.ending import end
from trimtab.contracts.control import Switch
from trimtab.contracts.errors import RevisionConflict
from trimtab.contracts.evaluation import Evaluation
from trimtab.contracts.orders import Order
from trimtab.contracts.samples import EndpointSample, Readiness, Sample
from trimtab.control.feed import ControlFeed
from trimtab.control.lease import Lease
from trimtab.telemetry.metrics import REGISTRY

QUALITY = b"""
automated_triggers:
  - {name: worse, condition: recall_at_5_drop > 10% for 0 seconds, severity: critical, action: rollback}
"""

TRIGGERS = b"""
automated_triggers:
  - {name: errors, condition: search_error_rate > 1% for 5 seconds, severity: critical, action: rollback}
  - {name: more errors, condition: search_error_rate > 2% for 5 seconds, severity: critical, action: rollback}
  - {name: say so, condition: search_error_rate > 1% for 5 seconds, severity: warning, action: alert}
"""


def sample(at: float, requests: int = 100) -> Sample:
    part = EndpointSample(
        endpoint="pipeline_search",
        component="",
        release="base",
        role="",
        outcomes={"ok": requests // 2, "internal": requests // 2},
        latency=b"",
        bad={},
    )
    return Sample(
        service="gateway",
        instance="gateway-1",
        version="1",
        readiness=Readiness.READY,
        reason="",
        components={},
        revision=1,
        started_at=0.0,
        at=at,
        interval_s=1.0,
        rss_bytes=1,
        in_flight=0,
        endpoints=[part],
    )


@dataclass
class Leading:
    """A lease that is held, and a feed."""

    held: bool = True
    epoch: int = 3
    current: Any = field(
        default_factory=lambda: controls(state("base", "next", canary=canary("next", 500)))
    )

    def rolled_back(self) -> None:
        """The canary is gone."""
        self.current = controls(state("base", "next"), revision=2)


@dataclass
class Recorder:
    """What was written down, and carried out."""

    said: list[str] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    conflicts: int = 0
    leading: Leading | None = None

    async def fired(self, watch: Watch, _revision: int, _epoch: int) -> None:
        self.said.append(watch.trigger.name)

    async def cleared(self, watch: Watch, _revision: int, _epoch: int) -> None:
        self.said.append(f"over: {watch.trigger.name}")

    async def carry_out(self, order: Order) -> None:
        if self.conflicts:
            self.conflicts -= 1
            raise RevisionConflict(order.expect_revision or 0, 99)
        self.orders.append(order)
        if self.leading is not None:
            self.leading.rolled_back()


def tower(recorder: Recorder, leading: Leading, triggers: bytes = TRIGGERS) -> Watchtower:
    return Watchtower(
        parse_triggers(triggers, "this test"),
        cast("ControlFeed", leading),
        cast("Lease", leading),
        recorder.carry_out,
        cast("Any", recorder),
        cast("Any", None),
    )


async def looked(watchtower: Watchtower, first: int, last: int) -> None:
    for second in range(first, last):
        watchtower.hear(sample(float(second)))
        await watchtower.look(float(second))


async def test_two_triggers_of_one_cause_roll_back_once_and_both_are_written_down() -> None:
    leading = Leading()
    recorder = Recorder(leading=leading)
    revision = leading.current.revision
    await looked(tower(recorder, leading), 0, 11)

    assert [order.actor for order in recorder.orders] == ["trigger:errors"]
    assert recorder.orders[0].expect_revision == revision
    assert recorder.said[:3] == ["errors", "more errors", "say so"]
    assert recorder.said[3:] == ["over: errors", "over: more errors", "over: say so"], (
        "it serves no more"
    )


async def test_what_still_fails_after_its_whole_duration_rolls_back_again() -> None:
    leading = Leading()
    recorder = Recorder(leading=leading)
    await looked(tower(recorder, leading), 0, 12)

    assert len(recorder.orders) == 2


async def test_the_next_leader_acts_on_what_lasts_but_not_on_what_was_taken_back() -> None:
    lasting, taken_back = Leading(held=False), Leading(held=False)
    acts, waits = Recorder(), Recorder()
    towers = tower(acts, lasting), tower(waits, taken_back)
    for watchtower in towers:
        await looked(watchtower, 0, 8)
    taken_back.rolled_back()
    lasting.held = taken_back.held = True
    for watchtower in towers:
        await looked(watchtower, 8, 9)

    assert len(acts.orders) == 1
    assert waits.orders == []


async def test_a_rollback_that_lost_the_race_is_decided_again() -> None:
    recorder = Recorder(conflicts=1)
    watchtower = tower(recorder, Leading())
    await looked(watchtower, 0, 6)
    before = len(recorder.orders)
    await looked(watchtower, 6, 7)

    assert (before, len(recorder.orders)) == (0, 1)


async def test_who_does_not_lead_does_nothing() -> None:
    recorder = Recorder()
    await looked(tower(recorder, Leading(held=False)), 0, 20)

    assert recorder.orders == []
    assert recorder.said == []


def evaluation(name: str, recall_at_5: float, at: float = 0.0, content: str = "") -> Evaluation:
    return Evaluation(
        at=at,
        release=name,
        collection="docs",
        queries=300,
        recall_at_5=recall_at_5,
        before=0.6,
        release_hash=content or state(name).releases[name].hash,
    )


@pytest.mark.parametrize(
    ("told", "now", "orders"),
    [
        pytest.param([evaluation("next", 0.49)], 1.0, 1, id="a-release-that-serves-got-worse"),
        pytest.param([evaluation("next", 0.51)], 1.0, 0, id="not-by-that-much"),
        pytest.param([evaluation("older", 0.1)], 1.0, 0, id="a-release-that-does-not-serve"),
        pytest.param(
            [evaluation("next", 0.1, content="0123456789ab")],
            1.0,
            0,
            id="a-deleted-one-of-its-name",
        ),
        pytest.param([evaluation("next", 0.1)], 36 * 3600.0, 0, id="too-long-ago"),
        pytest.param(
            [evaluation("next", 0.1), evaluation("next", 0.6, at=0.5)], 1.0, 0, id="better-since"
        ),
        pytest.param(
            [evaluation("next", 0.6, at=0.5), evaluation("next", 0.1)], 1.0, 0, id="told-late"
        ),
    ],
)
async def test_the_newest_evaluation_of_what_serves_takes_it_back(
    told: list[Evaluation], now: float, orders: int
) -> None:
    leading = Leading()
    recorder = Recorder(leading=leading)
    watchtower = tower(recorder, leading, QUALITY)
    for each in told:
        watchtower.evaluations.hear(each)

    await watchtower.look(now)
    await watchtower.look(now + 1)

    assert len(recorder.orders) == orders


ALERT = b"""
alerts:
  - name: errors
    condition: search_error_rate > 1% for 5 seconds
    severity: warning
    min_requests: 50
    inhibited_by: rules_only
"""


async def test_an_alert_says_when_it_begins_and_when_it_is_over_and_takes_nothing_back() -> None:
    recorder = Recorder()
    watchtower = tower(recorder, Leading(), ALERT)
    await looked(watchtower, 0, 7)
    began = list(recorder.said)
    for second in range(7, 7 + LONGER * 60 + int(FORGETS_S) + 60, 30):
        await watchtower.look(float(second))

    assert began == ["errors"]
    assert recorder.said == ["errors", "over: errors"]
    assert recorder.orders == []


async def test_where_a_minute_holds_too_few_requests_ten_are_looked_at() -> None:
    recorder = Recorder()
    watchtower = tower(recorder, Leading(), ALERT)
    for second in range(0, 600, 10):
        watchtower.hear(sample(float(second), requests=2))
        await watchtower.look(float(second))

    assert recorder.said == ["errors"]
    [watch] = watchtower.watches
    assert watch.heard_at is not None
    assert watch.heard_at >= 240.0, "fifty requests had come by then"


async def test_rules_that_are_ordered_for_everybody_keep_an_alert_silent() -> None:
    recorder, leading = Recorder(), Leading()
    leading.current = controls(state("base", "next"), kill(Switch.MAPPER_MODE, "rules_only"))
    silent = tower(recorder, leading, ALERT)
    await looked(silent, 0, 10)
    inhibited = silent.watches[0].state(10.0)
    leading.current = controls(
        state("base", "next"), kill(Switch.MAPPER_MODE, "rules_only", tenant="acme")
    )
    await looked(silent, 10, 20)

    assert inhibited == "inhibited"
    assert recorder.said == ["errors"], "what one tenant wants is no reason for the others"


def fired(name: str) -> float | None:
    return REGISTRY.get_sample_value("controller_triggers_fired_total", {"trigger": name})


async def test_prometheus_sees_a_nought_before_it_sees_what_fired_and_was_cured_at_once() -> None:
    leading = Leading()
    triggers = TRIGGERS.replace(b"errors", b"paged errors")
    watchtower = tower(Recorder(leading=leading), leading, triggers)
    firing = {"alert": "paged errors", "severity": "critical"}

    task = asyncio.create_task(watchtower.run())
    await asyncio.sleep(0)
    await end(task)
    before = (fired("paged errors"), REGISTRY.get_sample_value("controller_alert_firing", firing))
    await looked(watchtower, 0, 11)

    assert before == (0.0, 0.0)
    assert fired("paged errors") == 1.0
    assert REGISTRY.get_sample_value("controller_alert_firing", firing) == 0.0, "rolled back"
