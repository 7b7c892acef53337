"""Virtual time: an event loop whose clock jumps to the next event, and one clock per machine.

Machines disagree on the time of day, their monotonic clocks drift, and a frozen one does nothing until
it thaws, however long that is. Nothing here waits, so a minute of a fleet takes milliseconds.
"""

import asyncio
import contextvars
import selectors
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, cast
from unittest.mock import patch

EPOCH = 1_800_000_000.0
"""Unix seconds at which every simulation begins."""


@dataclass
class Machine:
    """One process's host: its clocks, and whether it runs at all."""

    name: str
    """Unique in a simulation."""
    skew_s: float = 0.0
    """Its time of day less the true one."""
    drift: float = 0.0
    """Its monotonic clock gains this many seconds per second."""
    dead: bool = False
    """Crashed: what it still does reaches nobody."""
    booted_at: float = 0.0
    """True time at which its process began."""
    frozen_at: float = 0.0
    """True time at which it stopped."""
    frozen_until: float = 0.0
    """True time at which it goes on."""
    frozen_at_write_s: float = 0.0
    """It stops for this long with its next write under way; 0: it does not."""
    stock: set[str] | None = None
    """Components loaded by its process; None: it needs none."""
    tasks: "set[asyncio.Task[Any]]" = field(default_factory=set)
    """What runs on it."""
    failed: Callable[["Machine", BaseException], None] = field(
        default=lambda _machine, _error: None
    )
    """Told of a task that ended by an error."""

    def begin(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Coroutine[Any, Any, None],
        context: contextvars.Context,
    ) -> None:
        """Begin a task on it."""
        self.tasks.add(loop.create_task(work, context=context))

    def freeze(self, now: float, seconds: float) -> None:
        """Stop, for so long."""
        self.frozen_at, self.frozen_until = now, max(self.frozen_until, now + seconds)

    def ended(self, task: "asyncio.Task[Any]") -> None:
        """Take note of the end of a task."""
        self.tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.failed(self, error)


ON: contextvars.ContextVar[Machine | None] = contextvars.ContextVar("machine", default=None)
"""Machine that the running code is on; None: the simulation itself."""


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop that skips the waiting."""

    def __init__(self) -> None:
        super().__init__()
        self._true_now = 0.0
        self._postponed = 0
        self._selector = _NoFiles(self)
        self.set_task_factory(cast("Any", _remembering))

    def time(self) -> float:
        """Return the true time, seconds since the beginning."""
        return self._true_now

    def skip(self, seconds: float) -> None:
        """Let time pass while nothing is due."""
        self._true_now += seconds

    def call_soon(  # type: ignore[override]
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """Run a callback soon, or when its machine thaws."""
        machine = context.get(ON) if context is not None else None
        if machine is None or machine.dead or machine.frozen_until <= self._true_now:
            return super().call_soon(callback, *args, context=context)
        # One after another: what waited on a frozen machine goes on in the order in which it came.
        self._postponed += 1
        at = machine.frozen_until + 1e-7 * self._postponed
        return self.call_at(at, callback, *args, context=context)

    def run_in_executor(  # type: ignore[override]
        self, _executor: object, function: Callable[..., Any], *args: Any
    ) -> "asyncio.Future[Any]":
        """Run at once: there is one thread."""
        future = self.create_future()
        try:
            future.set_result(function(*args))
        except OSError as error:
            future.set_exception(error)
        return future

    def _process_events(self, _events: object) -> None:
        """There are no files."""

    def _write_to_self(self) -> None:
        """There are no other threads."""


class _NoFiles:
    """Stands where a loop's selector stands; waiting for files is skipping time."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """Skip to the next timer."""
        if timeout is None:
            raise RuntimeError("nothing is left to happen: the simulation waits for ever")
        self._loop.skip(timeout)
        return []

    def close(self) -> None:
        """Nothing is open."""


def _remembering(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, Any],
    context: contextvars.Context | None = None,
) -> "asyncio.Task[Any]":
    task = asyncio.Task(coroutine, loop=loop, context=context)
    machine = context.get(ON) if context is not None else ON.get()
    if machine is not None:
        machine.tasks.add(task)
        task.add_done_callback(machine.ended)
    return task


class Clocks:
    """Stands where the module ``time`` stands: the clocks of the machine that asks."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def time(self) -> float:
        """Return the machine's time of day."""
        machine = ON.get()
        return EPOCH + self._loop.time() + (machine.skew_s if machine else 0.0)

    def true_time(self) -> float:
        """Return the true time, seconds since the beginning."""
        return self._loop.time()

    def monotonic(self) -> float:
        """Return the machine's monotonic clock."""
        machine = ON.get()
        return 1000.0 + self._loop.time() * (1.0 + (machine.drift if machine else 0.0))

    perf_counter = monotonic


@contextmanager
def clocks_of(loop: VirtualLoop, *modules: ModuleType) -> Iterator[Clocks]:
    """Give the modules the simulation's clocks for as long as the block runs."""
    clocks = Clocks(loop)
    patches = [patch.object(module, "time", clocks) for module in modules]
    for each in patches:
        each.start()
    try:
        yield clocks
    finally:
        for each in patches:
            each.stop()


def on(machine: Machine) -> contextvars.Context:
    """Return a context whose code runs on a machine."""
    context = contextvars.copy_context()
    context.run(ON.set, machine)
    return context
