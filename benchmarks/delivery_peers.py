"""A peer's path for ``delivery``: N subscriber processes and the operator that writes to them.

``python -m benchmarks.delivery_peers KIND ADDRESS SLOTS COUNT BODY``; commands and answers are lines of JSON. It
imports of ours only what imports nothing else, so that it also runs in the environment of the peers' clients.
"""

import asyncio
import importlib
import json
import os
import random
import sys
import time
from pathlib import Path

import msgspec
import uvloop

from benchmarks.delivery_clients import PATHS, POLL_S, Write
from benchmarks.delivery_slots import LOOK_S, Slots

GAP_S = 0.02
"""Between two commands, the same for every path but the one that polls."""

_READY = 1
"""Sequence that a subscriber marks when it listens."""


def subscriber(kind: str, address: str, slots: Slots, index: int, lifeline: int) -> None:
    """Follow in this process until the operator's process is gone."""

    def heard(body: bytes) -> None:
        msgspec.msgpack.decode(body[8:])
        slots.mark(index, int.from_bytes(body[:8], "big"))

    async def main() -> None:
        # The other end is the operator's alone: its end, however it comes, is ours.
        asyncio.get_running_loop().add_reader(lifeline, os._exit, 0)
        await PATHS[kind][0](address, heard, lambda: slots.mark(index, _READY))

    uvloop.run(main())


class Operator:
    """Writes, and waits until the last subscriber has it."""

    def __init__(
        self, write: Write, slots: Slots, count: int, body: bytes, *, polled: bool
    ) -> None:
        self._write = write
        self._slots = slots
        self._all = range(count)
        self._body = body
        self._polled = polled
        self._sequence = _READY

    @property
    def _look_s(self) -> float:
        """How often the slots are looked at: a wait of seconds must not cost a processor."""
        return 0.1 if self._polled else LOOK_S

    async def ready(self) -> None:
        """Wait until everybody listens."""
        await self._slots.until(_READY, self._all)

    async def measure(self, commands: int) -> list[tuple[float, float]]:
        """Return, per command, the ms from before the write to the last swap, and to the write's end."""
        taken = []
        for _ in range(commands):
            if self._polled:  # or each command would come right after the last subscriber's look
                await asyncio.sleep(random.uniform(0, POLL_S))
            self._sequence += 1
            body = self._sequence.to_bytes(8, "big") + self._body
            began = time.monotonic_ns()
            await self._write(body)
            known = time.monotonic_ns()
            last = await self._slots.until(self._sequence, self._all, look_s=self._look_s)
            taken.append(((last - began) / 1e6, (known - began) / 1e6))
            await asyncio.sleep(GAP_S)
        return taken


async def operate(kind: str, address: str, slots: Slots, count: int, body: bytes) -> None:
    """Answer commands from stdin until it ends."""
    write = await PATHS[kind][1](address, count)
    operator = Operator(write, slots, count, body, polled=kind == "poll")
    await operator.ready()
    print(json.dumps("ready"), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await operator.measure(json.loads(line))), flush=True)


def main() -> None:
    """Fork the subscribers before there is a loop, then operate."""
    kind, address, path, number, body = sys.argv[1:6]
    count = int(number)
    slots = Slots.open(Path(path), count)
    _import(kind)
    ours, theirs = os.pipe()
    for index in range(count):
        if os.fork() == 0:
            os.close(theirs)
            subscriber(kind, address, slots, index, ours)
            os._exit(0)
    uvloop.run(operate(kind, address, slots, count, Path(body).read_bytes()))


def _import(kind: str) -> None:
    """Load a path's client once, before the forks, instead of once per subscriber."""
    importlib.import_module({"redis": "redis.asyncio", "etcd": "aetcd"}.get(kind, "nats"))


if __name__ == "__main__":
    main()
