import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mapper.recording import Recorder, bad_events
from services.mapper.window import WINDOW_S, Window
from tests.unit.mapper.shipped import component, mapper, request
from trimtab.contracts.mapping import MappingMode
from trimtab.telemetry.metrics import REGISTRY


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_share_is_that_of_the_window_and_forgets_what_is_older() -> None:
    window = Window()
    window.add(0.0, 0, 10)
    window.add(300.0, 10, 10)

    assert window.percentage(300.0) == 50.0
    assert window.percentage(WINDOW_S) == 100.0


def test_a_window_without_anything_has_no_share() -> None:
    window = Window()
    window.add(0.0, 1, 1)

    assert math.isnan(Window().percentage(0.0))
    assert math.isnan(window.percentage(WINDOW_S + 1))


@given(st.lists(st.tuples(st.floats(0, 2000), st.booleans()), max_size=40))
def test_the_window_counts_like_a_list_of_events(events: list[tuple[float, bool]]) -> None:
    events, window = sorted(events), Window()
    for now, hit in events:
        window.add(now, int(hit), 1)
    now = events[-1][0] if events else 0.0
    recent = [hit for at, hit in events if int(at) > now - WINDOW_S]

    share = window.percentage(now)

    assert (
        math.isnan(share) if not recent else share == pytest.approx(100 * sum(recent) / len(recent))
    )


def test_a_request_is_counted_once_with_its_one_reason() -> None:
    mapped = mapper(component()).map(request("you are an idiot", mode=MappingMode.RULES_ONLY))
    recorder = Recorder()
    counters = (
        ("mapper_requests_total", {"detector": "text", "status": "success"}),
        ("mapper_fallback_total", {"detector": "text", "reason": "kill_switch"}),
        ("mapper_request_duration_seconds_count", {"detector": "text"}),
        ("mapper_model_invocations_total", {"component": "recording@1"}),
    )
    before = [value(name, **labels) for name, labels in counters]

    recorder.mapped("recording@1", mapped, 0.001)

    after = [value(name, **labels) for name, labels in counters]
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 1, 1, 0]
    assert bad_events(mapped) == ("fallback_kill_switch",)


def test_the_gauges_show_the_windows_at_every_scrape() -> None:
    recorder = Recorder()
    recorder.publish()
    assert math.isnan(value("mapper_fallback_percentage"))

    recorder.mapped("safety-head@1", mapper(component()).map(request("you are an idiot")), 0.001)
    recorder.mapped("safety-head@1", mapper(None).map(request("you are an idiot")), 0.001)

    assert value("mapper_fallback_percentage") == 50.0
    assert value("mapper_schema_valid_percentage") == 100.0


def test_the_confidence_of_a_model_answer_is_observed() -> None:
    before = value("mapper_confidence_score_count", detector="text")

    Recorder().mapped("x@1", mapper(component()).map(request("you are an idiot")), 0.001)

    assert value("mapper_confidence_score_count", detector="text") == before + 1


def test_an_error_of_ours_and_a_fault_of_the_callers_are_told_apart() -> None:
    before = {
        s: value("mapper_requests_total", detector="other", status=s) for s in ("error", "invalid")
    }

    Recorder().refused(ours=True)
    Recorder().refused(ours=False)

    for status, count in before.items():
        assert value("mapper_requests_total", detector="other", status=status) == count + 1


def test_a_certain_rule_is_no_bad_event() -> None:
    assert bad_events(mapper(component()).map(request("hate", "openai-moderation"))) == ()
