"""Asking every running mapper at once what it serves and what it counted."""

import asyncio
from pathlib import Path

from trimtab.bus.caller import Caller
from trimtab.cli.address import nats_url
from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import Failure
from trimtab.cli.link import reach
from trimtab.client import Client
from trimtab.contracts import subjects
from trimtab.contracts.mappers import MappersRequest, MapperState
from trimtab.contracts.samples import Sample

WINDOW_S = 3.0
"""Longest wait for mappers that are known to be there; all answer within milliseconds when they can."""


async def mappers_of(client: Client) -> list[Sample]:
    """Return the health of every running mapper, by instance."""
    return sorted(
        (sample for sample in await client.health() if sample.service == "mapper"),
        key=lambda sample: sample.instance,
    )


async def states_of(client: Client, request: MappersRequest) -> list[MapperState]:
    """Return what every running mapper says, by instance.

    Raises:
        Failure: none runs, or one that runs did not answer: a part of the counts would pass for all.
    """
    running = await mappers_of(client)
    if not running:
        remedy = "start the deployment with `trimtab up`, or see `trimtab status`"
        raise Failure("no mapper answers", remedy, ExitCode.UNREACHABLE)
    found = await Caller(client.connection).gather(
        subjects.MAPPERS, request, MapperState, window_s=WINDOW_S, expected=len(running)
    )
    silent = {sample.instance for sample in running} - {state.instance for state in found}
    if silent:
        names = ", ".join(sorted(silent))
        raise Failure(f"{names} did not answer", "try again; `trimtab status` shows how they are")
    return sorted(found, key=lambda state: state.instance)


def ask(nats: str | None, nkey_seed: Path | None, request: MappersRequest) -> list[MapperState]:
    """Do :func:`states_of` from a command."""

    async def asked() -> list[MapperState]:
        async with reach(nats_url(nats), nkey_seed) as client:
            return await states_of(client, request)

    return asyncio.run(asked())
