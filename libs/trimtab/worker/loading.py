"""Which component versions a worker must have loaded, and loading those it lacks, while traffic flows."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from trimtab.contracts.component import Stage
from trimtab.contracts.errors import TrimtabError
from trimtab.control.effective import Controls, needed, offered
from trimtab.telemetry.logs import Logger

Load = Callable[[str], Awaitable[None]]
"""Loads one component version and adds its endpoints; raises TrimtabError."""


@dataclass(frozen=True, slots=True)
class Loading:
    """The components of one stage."""

    stage: Stage
    """Which component of a release counts."""
    load: Load
    """Of the service."""
    has: Collection[str]
    """What is loaded, as it is at each look."""
    log: Logger
    """Told what only an offer names and cannot be loaded."""

    async def follow(self, controls: Controls) -> bool:
        """Load what is missing; return whether anything came.

        What may serve must load. What only a next canary may ask for is tried: its interlock, not this
        worker, refuses a bad one.

        Raises:
            TrimtabError: what may serve cannot be loaded.
        """
        before = len(self.has)
        for component in self._missing(needed(controls, self.stage)):
            await self.load(component)
        for component in self._missing(offered(controls, self.stage)):
            try:
                await self.load(component)
            except TrimtabError as error:
                self.log.warning("component_not_loaded", component=component, detail=error.detail)
        return len(self.has) > before

    def _missing(self, components: list[str]) -> list[str]:
        return [name for name in components if name not in self.has]
