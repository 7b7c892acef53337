"""Explanations on their way into their stream: a sample of ordinary searches, and each that was asked for.

Nobody waits for the sample: when the stream is slow, explanations wait here, and above a bound they are
dropped and counted.
"""

import asyncio
import contextlib

from trimtab.bus.ending import end
from trimtab.bus.explanations import Explanations
from trimtab.contracts.errors import TrimtabError
from trimtab.contracts.explain import Explanation
from trimtab.telemetry.logs import Logger
from trimtab.telemetry.metrics import GATEWAY_EXPLANATIONS
from trimtab.telemetry.sampling import sampled

_PURPOSE = "explain"
_WAITING = 256
"""Explanations held: some 2 MB; at the 10 ms that a synced write takes on a slow disk, 2.5 s of backlog."""

_STORE_S = 0.5
"""Longest that a search which asked to be explained waits until its explanation is stored."""

_DRAIN_S = 2.0


class Logbook:
    """What keeps explanations."""

    def __init__(self, explanations: Explanations, share: float, log: Logger) -> None:
        """``share`` (0..1) of the ordinary searches is explained; 0 explains none."""
        self._explanations = explanations
        self._share = share
        self._log = log
        self._waiting: asyncio.Queue[Explanation] = asyncio.Queue(_WAITING)
        self._writing: asyncio.Task[None] | None = None
        self._failing = False

    async def start(self) -> None:
        """Make the stream and begin to write; without a stream searches go on all the same."""
        try:
            await self._explanations.open()
        except TrimtabError as error:
            self._say(error)
        self._writing = asyncio.create_task(self._write_forever())

    async def stop(self) -> None:
        """Write what waits, for at most two seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                await self._waiting.join()
        await end(self._writing)

    def samples(self, request_id: str) -> bool:
        """Whether this request is one of the sample."""
        return self._share > 0 and sampled(request_id, self._share, _PURPOSE)

    def offer(self, explanation: Explanation) -> None:
        """Have an explanation of the sample written soon; it is dropped when too many wait."""
        try:
            self._waiting.put_nowait(explanation)
        except asyncio.QueueFull:
            GATEWAY_EXPLANATIONS.labels("dropped").inc()

    async def store(self, explanation: Explanation) -> bool:
        """Store an explanation that was asked for; return whether it is, after half a second at most."""
        try:
            async with asyncio.timeout(_STORE_S):
                return await self._write(explanation)
        except TimeoutError:
            GATEWAY_EXPLANATIONS.labels("failed").inc()
            return False

    async def _write_forever(self) -> None:
        while True:
            explanation = await self._waiting.get()
            try:
                await self._write(explanation)
            finally:
                self._waiting.task_done()

    async def _write(self, explanation: Explanation) -> bool:
        try:
            await self._explanations.store(explanation)
        except TrimtabError as error:
            GATEWAY_EXPLANATIONS.labels("failed").inc()
            self._say(error)
            return False
        GATEWAY_EXPLANATIONS.labels("stored").inc()
        self._failing = False
        return True

    def _say(self, error: TrimtabError) -> None:
        """Say once that explanations are not kept, until one is again."""
        if not self._failing:
            self._log.warning("explanations_not_stored", detail=error.detail)
        self._failing = True
