"""A simulated worker: it routes requests by what the real feed obeys, and samples them as every worker does."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass
from typing import Any, cast

from datasketches import kll_doubles_sketch

from benchmarks.fleetsim.host import Host, WatchedFeed
from trimtab.contracts import subjects
from trimtab.contracts.component import Release
from trimtab.contracts.message import encode
from trimtab.contracts.samples import EndpointSample, Readiness, Sample
from trimtab.control.assignment import BUCKETS, Role, role_of
from trimtab.control.effective import routing

_NO_LATENCIES = kll_doubles_sketch(8).serialize()


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the simulated requests are like."""

    per_second: int
    """Of one worker."""
    bad: dict[str, float]
    """Release -> rate of bad requests."""


async def work(host: Host, traffic: Traffic, draw: random.Random) -> None:
    """Run a worker for ever: obey, serve, sample once a second."""
    connection, feed = host.feed("gateway")
    host.stock(feed)
    await feed.start(cast("Any", connection))
    await host.load(feed)
    started_at = host.clocks.time()
    while True:
        await asyncio.sleep(1.0)
        await feed.awake()
        host.oracle.looked(feed)
        if host.clocks.true_time() - host.machine.frozen_until < 0.5:
            host.oracle.thawed(feed)
        sample = _sample(host, feed, _served(host, feed, traffic, draw), started_at)
        subject = f"{subjects.SAMPLES[:-1]}gateway.{host.machine.name}"
        await connection.publish(subject, encode(sample))


def _sample(
    host: Host, feed: WatchedFeed, endpoints: list[EndpointSample], started_at: float
) -> Sample:
    return Sample(
        service="gateway",
        instance=host.machine.name,
        version="1",
        readiness=Readiness.READY,
        reason="",
        components={},
        revision=feed.revision,
        effective_hash=feed.hash,
        stale=feed.stale,
        started_at=started_at,
        at=host.clocks.time(),
        interval_s=1.0,
        rss_bytes=1,
        in_flight=0,
        endpoints=endpoints,
    )


def _served(
    host: Host, feed: WatchedFeed, traffic: Traffic, draw: random.Random
) -> list[EndpointSample]:
    if feed.current is None:
        return []
    route = routing(feed.current, now=host.clocks.time(), leased=feed.leased)
    requests: Counter[Role] = Counter(
        role_of(int(draw.random() * BUCKETS), route.weight_bp) for _ in range(traffic.per_second)
    )
    return [
        _endpoint(role, count, route.release_of(role), traffic, draw)
        for role, count in requests.items()
    ]


def _endpoint(
    role: Role, requests: int, release: Release, traffic: Traffic, draw: random.Random
) -> EndpointSample:
    rate = traffic.bad.get(release.name, 0.0)
    bad = sum(draw.random() < rate for _ in range(requests))
    return EndpointSample(
        endpoint="search",
        component="",
        release=release.name,
        role=role,
        outcomes={"ok": requests - bad, "internal": bad},
        latency=_NO_LATENCIES,
        bad={},
    )
