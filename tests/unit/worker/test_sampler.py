"""A sample holds exactly the interval's requests, and sketches merge."""

import time

import pytest
from datasketches import kll_doubles_sketch

from trimtab.contracts.headers import RequestContext
from trimtab.telemetry.metrics import REGISTRY
from trimtab.worker.sampler import Identity, Sampler

CANARY = RequestContext("r1", "public", 2**60, release="next", role="canary")


def sampler() -> Sampler:
    return Sampler(Identity("encoder", "encoder-0", "1.0.0", time.time()))


def test_taking_a_sample_starts_a_new_interval() -> None:
    counts = sampler()
    counts.observe("encode", "m@1", "next", "ok", 2.0, "canary")
    counts.observe("encode", "m@1", "next", "overloaded", 0.1, "canary")
    counts.bad("encode", "m@1", CANARY, "token_overflow", 3)

    first, second = counts.take(0), counts.take(0)

    assert [endpoint.outcomes for endpoint in first.endpoints] == [{"ok": 1, "overloaded": 1}]
    assert first.endpoints[0].bad == {"token_overflow": 3}
    assert second.endpoints == []


def test_peeking_leaves_the_interval_as_it_is() -> None:
    counts = sampler()
    counts.observe("encode", "m@1", "base", "ok", 2.0)

    counts.peek(0)

    assert counts.take(0).endpoints[0].outcomes == {"ok": 1}


def test_releases_are_counted_apart() -> None:
    counts = sampler()
    counts.observe("encode", "m@1", "base", "ok", 2.0)
    counts.observe("encode", "m@1", "next", "ok", 2.0)

    assert {endpoint.release for endpoint in counts.take(0).endpoints} == {"base", "next"}


def test_latency_sketches_of_two_workers_merge_to_the_joint_quantile() -> None:
    fast, slow = sampler(), sampler()
    for n in range(100):
        fast.observe("encode", "m@1", "base", "ok", 1.0 + n / 1000)
        slow.observe("encode", "m@1", "base", "ok", 100.0 + n / 1000)

    merged = kll_doubles_sketch(200)
    for counts in (fast, slow):
        merged.merge(kll_doubles_sketch.deserialize(counts.take(0).endpoints[0].latency))

    assert merged.n == 200
    assert merged.get_quantile(0.25) == pytest.approx(1.05, abs=0.1)
    assert merged.get_quantile(0.75) == pytest.approx(100.05, abs=0.1)


def test_a_sample_puts_the_memory_of_its_process_into_the_metrics() -> None:
    sample = sampler().take(0)

    name, labels = "trimtab_resident_memory_bytes", {"service": "encoder"}
    assert sample.rss_bytes > 0
    assert REGISTRY.get_sample_value(name, labels) == sample.rss_bytes
