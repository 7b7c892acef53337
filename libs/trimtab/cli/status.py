"""`trimtab status`: every worker as the controller sees it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live

from trimtab.cli import fleet, options
from trimtab.cli.address import nats_url
from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import guarded
from trimtab.cli.link import reach
from trimtab.cli.output import print_json, stdout
from trimtab.client import Client
from trimtab.contracts.errors import BusUnavailable, DeadlineExceeded, NoWorkers
from trimtab.contracts.samples import StatusReply


@guarded
def status(
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Keep showing until Ctrl-C.")
    ] = False,
    interval: Annotated[
        float, typer.Option("--interval", min=0.2, max=3600, help="Seconds between two looks.")
    ] = 1.0,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    timeout: options.Timeout = 2.0,
    as_json: options.Json = False,
) -> None:
    """Show releases, the ramp with its evidence, and every worker: what it serves, obeys, and how fast.

    Exit code 1 when a worker does not serve yet or any more, is silent, or behind the newest revision.
    """
    url = nats_url(nats)
    if watch:
        try:
            asyncio.run(_watch(url, nkey_seed, interval, timeout, as_json))
        except KeyboardInterrupt:
            return
    found = asyncio.run(_ask(url, nkey_seed, timeout))
    if as_json:
        print_json(fleet.shape(found))
    else:
        stdout().print(fleet.picture(found))
    if not fleet.healthy(found):
        raise typer.Exit(ExitCode.FAILED)


async def _ask(url: str, nkey_seed: Path | None, timeout_s: float) -> StatusReply:
    async with reach(url, nkey_seed) as client:
        return await client.status(timeout_s=timeout_s)


async def _watch(
    url: str, nkey_seed: Path | None, interval_s: float, timeout_s: float, as_json: bool
) -> None:
    """Look, show, sleep; a controller that is away for a while leaves the last picture, marked as old."""
    async with reach(url, nkey_seed) as client:
        shown = await client.status(timeout_s=timeout_s)
        if as_json:
            print_json(fleet.shape(shown))
            async for found, problem in _looks(client, interval_s, timeout_s):
                print_json(fleet.shape(found) if found else {"error": {"problem": problem}})
            return
        with Live(fleet.picture(shown), console=stdout(), auto_refresh=False) as live:
            async for found, problem in _looks(client, interval_s, timeout_s):
                shown = found or shown
                live.update(fleet.picture(shown, problem), refresh=True)


async def _looks(
    client: Client, interval_s: float, timeout_s: float
) -> AsyncIterator[tuple[StatusReply | None, str]]:
    """Yield what the controller says after each interval, or None and why it says nothing."""
    while True:
        await asyncio.sleep(interval_s)
        try:
            found = await client.status(timeout_s=timeout_s)
        except (NoWorkers, DeadlineExceeded, BusUnavailable) as error:
            yield None, error.detail
        else:
            yield found, ""
