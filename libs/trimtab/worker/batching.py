"""Many small awaits into few model calls: a batch is whatever queued up while the model was busy.

No waiting for a batch to fill: an idle model starts at once, a busy one finds its next batch ready.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from trimtab.bus.ending import end
from trimtab.contracts.errors import Draining
from trimtab.telemetry.metrics import BATCH_SIZE, QUEUE_DURATION

T = TypeVar("T")
R = TypeVar("R")


def take(costs: Sequence[int], max_items: int, max_cost: int) -> int:
    """Return how many queued items make the next batch: at least one, within both limits.

    An item that alone exceeds ``max_cost`` goes through by itself.
    """
    total = 0
    for count, cost in enumerate(costs[:max_items]):
        total += cost
        if total > max_cost and count:
            return count
    return min(len(costs), max_items)


@dataclass
class _Entry(Generic[T, R]):
    item: T
    cost: int
    future: "asyncio.Future[R]"
    queued_at: float


@dataclass
class Batcher(Generic[T, R]):
    """Runs ``compute`` over batches in one dedicated thread, one batch at a time.

    ``compute`` gets the items of a batch in order and returns as many results; what it raises is
    raised to every caller of that batch, and the next batch goes on.
    """

    service: str
    """For metrics."""
    compute: Callable[[list[T]], Sequence[R]]
    """Runs in the thread."""
    max_items: int = 32
    """Most items per call."""
    max_cost: int = 8192
    """Most summed cost per call, for example tokens."""
    name: str = "compute"
    """Thread name and metric label."""
    _queue: "deque[_Entry[T, R]]" = field(default_factory=deque)
    _open: "set[asyncio.Future[R]]" = field(default_factory=set)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _driver: "asyncio.Task[None] | None" = None
    _pool: ThreadPoolExecutor | None = None

    def start(self) -> None:
        """Start the driver; needs a running loop."""
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=self.name)
        self._driver = asyncio.create_task(self._drive())

    async def submit(self, item: T, cost: int = 1) -> R:
        """Queue one item and return its result; a cancelled caller's item is never computed."""
        if self._driver is None:
            raise Draining(self.service)
        entry: _Entry[T, R] = _Entry(
            item, cost, asyncio.get_running_loop().create_future(), time.perf_counter()
        )
        self._open.add(entry.future)
        entry.future.add_done_callback(self._open.discard)
        self._queue.append(entry)
        self._wake.set()
        return await entry.future

    async def stop(self) -> None:
        """Compute what is queued, then end the thread."""
        await asyncio.gather(*self._open, return_exceptions=True)
        if self._driver is not None:
            await end(self._driver)
            self._driver = None
        if self._pool is not None:
            self._pool.shutdown(wait=True)

    async def _drive(self) -> None:
        while True:
            batch = self._next()
            if batch:
                await self._run(batch)
            else:
                self._wake.clear()
                await self._wake.wait()

    async def _run(self, batch: "list[_Entry[T, R]]") -> None:
        loop = asyncio.get_running_loop()
        items = [entry.item for entry in batch]
        try:
            results = await loop.run_in_executor(self._pool, self.compute, items)
        except Exception as error:  # noqa: BLE001 - a failing batch fails its callers, not the driver
            for entry in batch:
                if not entry.future.done():
                    entry.future.set_exception(error)
            return
        for entry, result in zip(batch, results, strict=True):
            if not entry.future.done():
                entry.future.set_result(result)

    def _next(self) -> "list[_Entry[T, R]]":
        while self._queue and self._queue[0].future.done():
            self._queue.popleft()
        costs = [entry.cost for entry in list(self._queue)[: self.max_items]]
        batch = [self._queue.popleft() for _ in range(take(costs, self.max_items, self.max_cost))]
        live = [entry for entry in batch if not entry.future.done()]
        if live:
            BATCH_SIZE.labels(self.service).observe(len(live))
            now = time.perf_counter()
            for entry in live:
                QUEUE_DURATION.labels(self.service, self.name).observe(now - entry.queued_at)
        return live
