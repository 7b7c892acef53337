"""Variants measured in turn, in small blocks, so that whatever else the machine does hits them alike."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from benchmarks.figure import percentile

Call = Callable[[], Awaitable[object]]
"""One request."""

Blocks = Callable[["Timings", int, int], Awaitable[None]]
"""``(into, requests, concurrency)``: measures that many requests, wherever they are made."""

BLOCK = 25
"""Requests of one variant before the next one's turn."""


@dataclass
class Timings:
    """What one variant took in one round."""

    latencies_ms: list[float] = field(default_factory=list)
    """One per request."""
    elapsed_s: float = 0.0
    """Wall time of its blocks."""
    cpu_s: float = 0.0
    """Processor time of this process during its blocks."""

    @property
    def p50_ms(self) -> float:
        """Median latency."""
        return percentile(self.latencies_ms, 0.50)

    @property
    def p95_ms(self) -> float:
        """95th percentile of the latency."""
        return percentile(self.latencies_ms, 0.95)

    @property
    def per_second(self) -> float:
        """Requests per second of wall time."""
        return len(self.latencies_ms) / self.elapsed_s


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rounds: int
    """Each gives one value of every figure."""
    requests: int
    """Per variant and round."""
    concurrency: int = 1
    """Requests in flight at once."""
    block: int = BLOCK
    """Requests of one variant in a row; at least the concurrency."""


async def alternate(variants: Mapping[str, Call], plan: Plan) -> list[dict[str, Timings]]:
    """Return the timings of every round, by variant; the variants take turns block by block."""
    return await alternate_blocks(
        {name: partial(measured, call) for name, call in variants.items()}, plan
    )


async def alternate_blocks(variants: Mapping[str, Blocks], plan: Plan) -> list[dict[str, Timings]]:
    """Do the same with variants that measure themselves."""
    for block in variants.values():  # nothing is measured cold
        await block(Timings(), max(plan.concurrency, 10), plan.concurrency)
    return [await _round(variants, plan) for _ in range(plan.rounds)]


async def _round(variants: Mapping[str, Blocks], plan: Plan) -> dict[str, Timings]:
    timings = {name: Timings() for name in variants}
    most = max(plan.block, plan.concurrency)
    for start in range(0, plan.requests, most):
        size = min(most, plan.requests - start)
        for name, block in variants.items():
            await block(timings[name], size, plan.concurrency)
    return timings


async def measured(call: Call, into: Timings, requests: int, concurrency: int) -> None:
    """Make that many requests from here."""
    left = iter(range(requests))

    async def one_after_another() -> None:
        for _ in left:
            started = time.perf_counter_ns()
            await call()
            into.latencies_ms.append((time.perf_counter_ns() - started) / 1e6)
            # A call that never waits would keep the loop from answering the bus's pings.
            await asyncio.sleep(0)

    cpu, wall = time.process_time(), time.perf_counter()
    if concurrency == 1:
        await one_after_another()
    else:
        await asyncio.gather(*(one_after_another() for _ in range(concurrency)))
    into.elapsed_s += time.perf_counter() - wall
    into.cpu_s += time.process_time() - cpu
