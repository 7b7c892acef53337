"""Variants take turns in blocks, and each round counts every request once."""

import asyncio

from benchmarks.rounds import Plan, alternate


async def test_variants_alternate_block_by_block() -> None:
    seen: list[str] = []

    async def first() -> None:
        seen.append("a")

    async def second() -> None:
        seen.append("b")

    rounds = await alternate({"a": first, "b": second}, Plan(rounds=2, requests=50, block=25))

    measured = "".join(seen[20:])  # ten calls of each warm up
    assert measured == ("a" * 25 + "b" * 25) * 4
    assert [len(timings["a"].latencies_ms) for timings in rounds] == [50, 50]


async def test_as_many_requests_are_in_flight_as_the_plan_says() -> None:
    now, most = 0, 0

    async def call() -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1

    (timings,) = await alternate({"a": call}, Plan(rounds=1, requests=100, concurrency=8))

    assert most == 8
    assert len(timings["a"].latencies_ms) == 100
    assert timings["a"].elapsed_s > 0
