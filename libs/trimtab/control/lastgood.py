"""The last good documents on disk: what a worker obeys when it starts without JetStream."""

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path

from trimtab.contracts.control import Hint
from trimtab.contracts.errors import InvalidMessage
from trimtab.contracts.message import decode, encode
from trimtab.control.effective import Controls
from trimtab.telemetry.logs import Logger

KEEP_S = 1.0
"""How often what is in force is written, when it changed.

Not while obeying: beside many workers on one machine the disk would delay those who have not heard yet; and
one writer at a time never leaves an older document over a newer one.
"""


@dataclass
class LastGood:
    """One file, replaced whole."""

    path: Path
    """Where it lies."""
    log: Logger
    """Told when the disk does not take it."""
    _kept: Controls | None = None

    async def keep(self, controls: Controls | None) -> None:
        """Write what is in force unless it was written already."""
        if controls is None or controls is self._kept:
            return
        try:
            await asyncio.to_thread(self._write, controls)
        except OSError as error:
            self.log.warning("control_not_kept", error=type(error).__name__)
            return
        self._kept = controls

    async def recall(self) -> Controls | None:
        """Return what was kept; None when there is nothing that can be read."""
        with contextlib.suppress(OSError, InvalidMessage):
            hint = decode(Hint, await asyncio.to_thread(self.path.read_bytes))
            return Controls(hint.state, hint.state_revision, hint.lane, hint.lane_revision)
        return None

    def _write(self, controls: Controls) -> None:
        hint = Hint(
            state=controls.state,
            state_revision=controls.state_revision,
            lane=controls.lane,
            lane_revision=controls.lane_revision,
        )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        partial.write_bytes(encode(hint))
        partial.replace(self.path)
