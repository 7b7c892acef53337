"""The controller's view follows the samples: silence is seen, old minutes are forgotten."""

import pytest

from services.controller.fleet import SILENT_AFTER_S, Fleet
from trimtab.contracts.samples import Sample
from trimtab.worker.sampler import Identity, Sampler


def sample(instance: str, at: float, *, ok: int = 0, failed: int = 0, ms: float = 1.0) -> Sample:
    sampler = Sampler(Identity("encoder", instance, "1.0.0", 0.0))
    for _ in range(ok):
        sampler.observe("encode", "m@1", "base", "ok", ms)
    for _ in range(failed):
        sampler.observe("encode", "m@1", "base", "model_failed", ms)
    taken = sampler.take(0)
    fields = {name: getattr(taken, name) for name in taken.__struct_fields__}
    return Sample(**{**fields, "at": at})


def test_requests_errors_and_p95_are_summed_over_the_window() -> None:
    fleet = Fleet(window_s=60, forget_after_s=60)
    fleet.add(sample("e-0", 100.0, ok=19, ms=1.0), 100.0)
    fleet.add(sample("e-0", 101.0, failed=1, ms=50.0), 101.0)

    (status,) = fleet.status(now=101.5)

    assert (status.requests, status.errors) == (20, 1)
    assert status.p95_ms is not None
    assert 1.0 <= status.p95_ms <= 50.0


def test_a_callers_mistake_is_not_an_error_of_ours() -> None:
    fleet = Fleet(window_s=60, forget_after_s=60)
    counted = Sampler(Identity("encoder", "e-0", "1.0.0", 0.0))
    counted.observe("encode", "m@1", "base", "invalid", 1.0)
    fleet.add(counted.take(0), 0.0)

    (status,) = fleet.status(now=0.0)

    assert (status.requests, status.errors) == (1, 0)


def test_samples_older_than_the_window_no_longer_count() -> None:
    fleet = Fleet(window_s=60, forget_after_s=60)
    fleet.add(sample("e-0", 100.0, ok=5), 100.0)
    fleet.add(sample("e-0", 200.0, ok=1), 200.0)

    assert fleet.status(now=200.0)[0].requests == 1


def test_a_repeated_or_older_sample_is_ignored() -> None:
    fleet = Fleet(window_s=60, forget_after_s=60)
    fleet.add(sample("e-0", 100.0, ok=5), 100.0)
    fleet.add(sample("e-0", 100.0, ok=5), 100.0)
    fleet.add(sample("e-0", 99.0, ok=5), 99.0)

    assert fleet.status(now=100.0)[0].requests == 5


def test_a_worker_that_stops_sampling_is_silent_and_then_forgotten() -> None:
    fleet = Fleet(window_s=60, forget_after_s=60)
    fleet.add(sample("e-0", 100.0), 100.0)

    assert not fleet.status(now=100.0 + SILENT_AFTER_S)[0].silent
    assert fleet.status(now=100.1 + SILENT_AFTER_S)[0].silent
    fleet.forget(now=161.0)
    assert fleet.status(now=161.0) == []


def test_a_worker_without_requests_has_no_p95() -> None:
    fleet = Fleet(window_s=60, forget_after_s=60)
    fleet.add(sample("e-0", 100.0), 100.0)

    assert fleet.status(now=100.0)[0].p95_ms is None


@pytest.mark.parametrize("count", [1, 3])
def test_workers_are_listed_by_service_and_instance(count: int) -> None:
    fleet = Fleet(window_s=60, forget_after_s=60)
    for n in reversed(range(count)):
        fleet.add(sample(f"e-{n}", 100.0), 100.0)

    assert [s.instance for s in fleet.status(now=100.0)] == [f"e-{n}" for n in range(count)]


@pytest.mark.parametrize("skew_s", [-60.0, 60.0])
def test_a_worker_whose_clock_is_off_is_neither_silent_nor_alive_for_longer(skew_s: float) -> None:
    fleet = Fleet(window_s=60, forget_after_s=60)
    fleet.add(sample("e-0", 100.0 + skew_s), 100.0)

    assert not fleet.status(now=100.0 + SILENT_AFTER_S)[0].silent
    assert fleet.status(now=100.1 + SILENT_AFTER_S)[0].silent
