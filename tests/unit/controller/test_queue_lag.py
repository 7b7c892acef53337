"""Runbook 2's MapperQueueLagHigh as shipped: the worst of five minutes over 30 s, for ten minutes, as gateways tell it."""

import msgspec

from scripts.export_alerts import SOURCE
from services.controller.triggers import parse_triggers
from services.controller.watchtower import Watchtower
from tests.unit.controller.records import sample
from tests.unit.controller.test_watchtower import Leading, Recorder, tower
from trimtab.contracts.samples import QUEUE_LAG

NAME = "MapperQueueLagHigh"
STEP_S = 10


def shipped(recorder: Recorder) -> Watchtower:
    watchtower = tower(recorder, Leading(), SOURCE.read_bytes())
    watchtower.watches = tuple(
        watch for watch in parse_triggers(SOURCE.read_bytes(), SOURCE.name)
        if watch.trigger.name == NAME
    )  # fmt: skip
    return watchtower


async def told(watchtower: Watchtower, lags: dict[int, float], until: int) -> None:
    """Look every ten seconds at gateways that tell the lag of that time, 0 where none is given."""
    for second in range(0, until, STEP_S):
        facts = {QUEUE_LAG: lags.get(second, 0.0)}
        watchtower.hear(msgspec.structs.replace(sample(float(second)), facts=facts))
        await watchtower.look(float(second))


async def test_a_queue_that_stays_behind_raises_the_alert_after_ten_minutes_and_not_before() -> (
    None
):
    recorder = Recorder()
    watchtower = shipped(recorder)
    behind = dict.fromkeys(range(0, 2000, STEP_S), 31.0)
    await told(watchtower, behind, 600)
    early = list(recorder.said)
    await told(watchtower, behind, 610)

    assert early == []
    assert recorder.said == [NAME]


async def test_a_gap_of_less_than_five_minutes_does_not_begin_anew() -> None:
    recorder = Recorder()
    now_and_then = dict.fromkeys(range(0, 2000, 200), 31.0)
    await told(shipped(recorder), now_and_then, 620)

    assert recorder.said == [NAME]


async def test_a_backlog_of_a_moment_raises_nothing_and_an_end_clears() -> None:
    moment, long = Recorder(), Recorder()
    await told(shipped(moment), {20: 500.0}, 1200)
    await told(shipped(long), dict.fromkeys(range(0, 700, STEP_S), 31.0), 1100)

    assert moment.said == []
    assert long.said == [NAME, f"over: {NAME}"]


async def test_a_deployment_without_a_queue_raises_nothing() -> None:
    recorder = Recorder()
    watchtower = shipped(recorder)
    for second in range(0, 1200, STEP_S):
        watchtower.hear(sample(float(second)))
        await watchtower.look(float(second))

    assert recorder.said == []
    assert watchtower.watches[0].state(1200.0) == "unknown"
