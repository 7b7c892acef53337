"""`trimtab jobs result|wait|list`: where jobs are and what became of them."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from trimtab.cli import options
from trimtab.cli.address import nats_url
from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import guarded
from trimtab.cli.link import reach
from trimtab.cli.output import print_json, stdout
from trimtab.client import Client
from trimtab.contracts.jobs import Job, JobRecord, JobState
from trimtab.contracts.retrieve import PUBLIC_TENANT
from trimtab.jobs.outcome import shape_of

_MOST = 1000

Named = Annotated[str, typer.Argument(metavar="ID", help="As `jobs submit` printed it.")]


@guarded
def result(
    name: Named,
    tenant: options.Tenant = PUBLIC_TENANT,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    timeout: options.Timeout = 5.0,
    as_json: options.Json = False,
) -> None:
    """Say what became of a job. Exit code 0: done; 1: failed or dead; 4: it still waits."""

    async def ask(client: Client) -> JobRecord:
        return await client.result(name, tenant=tenant, timeout_s=timeout)

    _show(asyncio.run(_asked(nats_url(nats), nkey_seed, ask)), as_json=as_json)


@guarded
def wait(
    name: Named,
    tenant: options.Tenant = PUBLIC_TENANT,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    timeout: options.Timeout = 60.0,
    as_json: options.Json = False,
) -> None:
    """Wait for a job to end. Exit code 0: done; 1: failed or dead; 4: it did not end in time."""

    async def ask(client: Client) -> JobRecord:
        return await client.wait(name, tenant=tenant, timeout_s=timeout)

    _show(asyncio.run(_asked(nats_url(nats), nkey_seed, ask)), as_json=as_json)


@guarded
def show(
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=_MOST, help="At most so many, the oldest.")
    ] = 50,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """List the jobs that wait or are being worked on, of every tenant, the oldest first; only operators may."""

    async def ask() -> list[Job]:
        async with reach(nats_url(nats), nkey_seed) as client:
            return await client.jobs.oldest(limit)

    now = time.time()
    rows = [_row(job, now) for job in asyncio.run(ask())]
    if as_json:
        print_json({"jobs": rows})
        return
    table = Table(
        *("id", "kind", "priority", "tenant", "age_s", "deadline_in_s", "bytes"), box=None
    )
    for row in rows:
        table.add_row(*map(str, row.values()))
    stdout().print(table)


def _row(job: Job, now: float) -> dict[str, str | int | float]:
    """Return what a list shows of a job: nothing of what it asks for."""
    return {
        "id": job.id,
        "kind": job.kind.value,
        "priority": job.priority.value,
        "tenant": job.tenant,
        "age_s": round(now - job.submitted_at, 1),
        "deadline_in_s": round(job.deadline_at - now, 1),
        "bytes": len(job.request),
    }


async def _asked(
    url: str, nkey_seed: Path | None, ask: Callable[[Client], Awaitable[JobRecord]]
) -> JobRecord:
    async with reach(url, nkey_seed) as client:
        return await ask(client)


def _show(record: JobRecord, *, as_json: bool) -> None:
    shape = shape_of(record)
    if as_json:
        print_json(shape)
    else:
        console = stdout()
        console.print(f"{record.id}: {record.state.value}, {record.attempts} tries", markup=False)
        if record.error is not None:
            console.print(f"  {record.error.error}: {record.error.detail}", markup=False)
        if record.reply is not None:
            text = msgspec.json.format(msgspec.json.encode(shape["result"]), indent=2).decode()
            console.print(text, markup=False, soft_wrap=True)
    if record.state is JobState.PENDING:
        raise typer.Exit(ExitCode.INCONCLUSIVE)
    if record.state is not JobState.DONE:
        raise typer.Exit(ExitCode.FAILED)
