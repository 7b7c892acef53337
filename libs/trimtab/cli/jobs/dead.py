"""`trimtab jobs dead list|replay|purge`, which `trimtab dlq` are too: jobs that were given up; for operators."""

import asyncio
import time
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from trimtab.cli import options
from trimtab.cli.address import nats_url
from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import Failure, guarded
from trimtab.cli.link import reach
from trimtab.cli.output import print_json, stdout
from trimtab.contracts.jobs import DeadLetter

_EVERY = 100_000


@guarded
def show(
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=_EVERY, help="At most so many, the oldest.")
    ] = 50,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """List the jobs that were given up, the oldest first: ids, lengths and codes, never what they asked for."""

    async def ask() -> list[DeadLetter]:
        async with reach(nats_url(nats), nkey_seed) as client:
            return await client.dead_letters.oldest(limit)

    letters = asyncio.run(ask())
    if as_json:
        print_json({"letters": [msgspec.to_builtins(letter) for letter in letters]})
        return
    table = Table("key", "id", "kind", "tries", "error", "bytes", "age_s", box=None)
    for each in letters:
        age_s = f"{time.time() - each.dead_at:.0f}"
        table.add_row(
            each.key,
            each.id,
            each.kind.value,
            str(each.attempts),
            each.error,
            str(each.size),
            age_s,
        )
    stdout().print(table)


@guarded
def replay(
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="KEY...", help="As `dead list` names them.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every one.")] = False,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Put jobs back into the queue under their ids, with their time anew; mend the cause first."""
    if bool(keys) == everything:
        raise typer.BadParameter("name keys, or --all", param_hint="KEY...")

    async def send() -> list[str]:
        async with reach(nats_url(nats), nkey_seed) as client:
            letters = client.dead_letters
            chosen = keys or [letter.key for letter in await letters.oldest(_EVERY)]
            return [(await letters.replay(key)).id for key in chosen]

    done = asyncio.run(send())
    if as_json:
        print_json({"replayed": done})
    else:
        stdout().print(f"{len(done)} replayed; `trimtab jobs wait ID` says what becomes of them")


@guarded
def purge(
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it: they cannot be replayed after.")
    ] = False,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Remove every dead letter and the jobs that they are about."""
    if not yes:
        raise Failure(
            "this removes every dead letter for good", "repeat it with --yes", ExitCode.USAGE
        )

    async def send() -> int:
        async with reach(nats_url(nats), nkey_seed) as client:
            return await client.dead_letters.purge()

    gone = asyncio.run(send())
    if as_json:
        print_json({"purged": gone})
    else:
        stdout().print(f"{gone} purged")
