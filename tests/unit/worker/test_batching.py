"""Batches are what queued up while the model was busy; failures and cancellations stay where they are."""

import asyncio
import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.contracts.errors import Draining
from trimtab.worker.batching import Batcher, take


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        pytest.param([], 0, id="nothing queued"),
        pytest.param([5], 1, id="one"),
        pytest.param([4, 4, 4], 2, id="cost limit"),
        pytest.param([1, 1, 1, 1], 3, id="item limit"),
        pytest.param([99, 1], 1, id="an oversized item goes alone"),
        pytest.param([1, 99], 1, id="an oversized item waits for its turn"),
    ],
)
def test_a_batch_stays_within_both_limits(costs: list[int], expected: int) -> None:
    assert take(costs, max_items=3, max_cost=10) == expected


@given(st.lists(st.integers(1, 50), min_size=1), st.integers(1, 8), st.integers(1, 60))
def test_every_batch_makes_progress_and_fits(
    costs: list[int], max_items: int, max_cost: int
) -> None:
    count = take(costs, max_items, max_cost)

    assert 1 <= count <= max_items
    assert count == 1 or sum(costs[:count]) <= max_cost


class Model:
    """Doubles numbers, in a thread, one batch at a time; the first batch waits for the gate."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.batches: list[list[int]] = []

    def __call__(self, items: list[int]) -> Sequence[int]:
        self.batches.append(items)
        self.gate.wait(5)
        if 13 in items:
            raise ValueError("thirteen")
        return [item * 2 for item in items]


async def batches(model: Model, count: int) -> None:
    while len(model.batches) < count:
        await asyncio.sleep(0.001)


async def test_what_queues_while_the_model_is_busy_becomes_one_batch() -> None:
    model = Model()
    batcher: Batcher[int, int] = Batcher("test", model)
    batcher.start()
    first = asyncio.create_task(batcher.submit(1))
    await batches(model, 1)
    rest = [asyncio.create_task(batcher.submit(n)) for n in (2, 3, 4)]
    await asyncio.sleep(0)
    model.gate.set()

    assert [await first, *[await task for task in rest]] == [2, 4, 6, 8]
    assert model.batches == [[1], [2, 3, 4]]
    await batcher.stop()


async def test_a_cancelled_callers_item_is_never_computed() -> None:
    model = Model()
    batcher: Batcher[int, int] = Batcher("test", model)
    batcher.start()
    first = asyncio.create_task(batcher.submit(1))
    await batches(model, 1)
    gone = asyncio.create_task(batcher.submit(2))
    kept = asyncio.create_task(batcher.submit(3))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    model.gate.set()

    assert (await first, await kept) == (2, 6)
    assert [2] not in model.batches
    assert all(2 not in batch for batch in model.batches)
    await batcher.stop()


async def test_a_failing_batch_fails_its_callers_and_the_next_batch_goes_on() -> None:
    model = Model()
    model.gate.set()
    batcher: Batcher[int, int] = Batcher("test", model)
    batcher.start()

    with pytest.raises(ValueError, match="thirteen"):
        await batcher.submit(13)

    assert await batcher.submit(4) == 8
    await batcher.stop()


async def test_a_stop_computes_what_is_queued_and_takes_nothing_more() -> None:
    model = Model()
    batcher: Batcher[int, int] = Batcher("test", model)
    batcher.start()
    queued = [asyncio.create_task(batcher.submit(n)) for n in (1, 2, 3)]
    await batches(model, 1)
    model.gate.set()
    await batcher.stop()

    assert [task.result() for task in queued] == [2, 4, 6]
    with pytest.raises(Draining):
        await batcher.submit(5)
