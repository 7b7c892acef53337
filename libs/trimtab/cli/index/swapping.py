"""Puts a component beside the live one on every retriever, and swaps the release that serves."""

import asyncio
import time
import uuid
from dataclasses import dataclass

import msgspec

from trimtab.cli import steering
from trimtab.cli.failure import Failure
from trimtab.client import Client
from trimtab.contracts.component import STAGES, Release
from trimtab.contracts.control import ACTIVE_PHASES, ControlState, Convergence
from trimtab.contracts.errors import InvalidCommand, TrimtabError
from trimtab.contracts.orders import (
    AbortCommand,
    Command,
    CreateReleaseCommand,
    DeleteReleaseCommand,
    Order,
    Outcome,
    PromoteCommand,
    StartCanaryCommand,
)

_LOOK_S = 0.5
_RETRIEVER = STAGES["retrieve"]


def refuse_swap(state: ControlState) -> None:
    """Refuse what could not be swapped in now, before anything is built for it.

    Raises:
        InvalidCommand: another canary runs, or automation is frozen.
    """
    canary = state.canary
    if canary is not None and canary.phase in ACTIVE_PHASES:
        raise InvalidCommand(
            f"{canary.release} is being ramped; promote or abort it first, or build with --no-swap"
        )
    if state.freeze is not None:
        raise InvalidCommand(
            f"frozen by {state.freeze.actor}; `trimtab freeze off` first, or build with --no-swap"
        )


@dataclass(frozen=True, slots=True)
class Swap:
    """Who swaps, and why."""

    client: Client
    """Connected."""
    actor: str
    """Stands in the audit."""
    reason: str
    """Likewise."""

    async def create(self, origin: Release, name: str, component: str) -> Release:
        """Make a release of ``origin`` with another retriever component; workers begin to load it.

        Raises:
            OperatorError: the name is taken by another content.
        """
        release = msgspec.structs.replace(origin, name=name, retrieve=component)
        await self._order(CreateReleaseCommand(release=release))
        return release

    async def delete(self, release: str) -> None:
        """Forget a release that nothing returns to; workers unload its component.

        Raises:
            OperatorError: it serves, or is being ramped.
        """
        await self._order(DeleteReleaseCommand(release=release))

    async def loaded(self, component: str, wait_s: float) -> list[str]:
        """Wait until every live retriever has loaded the component; return their instances.

        Raises:
            Failure: one has not within the time, or there is none.
        """
        give_up_at = time.monotonic() + wait_s
        while True:
            samples = [s for s in await self.client.health() if s.service == _RETRIEVER]
            without = [s.instance for s in samples if component not in s.components]
            if samples and not without:
                return sorted(s.instance for s in samples)
            if time.monotonic() > give_up_at:
                raise Failure(
                    f"{component} is not loaded by {', '.join(without) or 'any retriever'}",
                    "the log of that worker says why; repeat with a longer --load-timeout",
                )
            await asyncio.sleep(_LOOK_S)

    async def promote(self, release: str, wait_s: float) -> tuple[Outcome, Convergence]:
        """Let a loaded release serve, and wait until every worker obeys.

        Raises:
            OperatorError: another canary runs, or an interlock refuses; what served goes on.
        """
        await self._order(StartCanaryCommand(release=release))
        try:
            outcome = await self._order(PromoteCommand())
        except TrimtabError:
            await self._order(AbortCommand())
            raise
        return outcome, await steering.reached(self.client, outcome.revision, wait_s)

    async def _order(self, command: Command) -> Outcome:
        return await self.client.order(
            Order(operation=uuid.uuid4().hex, command=command, actor=self.actor, reason=self.reason)
        )
