"""`trimtab keys create|list|rotate|revoke`: who may call the gateways over HTTP, for which tenant, and what."""

import asyncio
import time
import uuid
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table

from trimtab.access.keyring import Change, KeyStore
from trimtab.access.tokens import mint
from trimtab.audit.ledger import Act, Ledger
from trimtab.cli import options
from trimtab.cli.address import nats_url
from trimtab.cli.durations import seconds_of
from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import Failure, guarded
from trimtab.cli.link import reach
from trimtab.cli.output import print_json, stderr, stdout
from trimtab.cli.steering import Actor, Reason, who
from trimtab.client import Client
from trimtab.contracts.errors import BusUnavailable
from trimtab.contracts.keys import ApiKey, Scope
from trimtab.contracts.retrieve import PUBLIC_TENANT

keys = typer.Typer(help="API keys of the HTTP gateways.", no_args_is_help=True)

Named = Annotated[str, typer.Argument(metavar="ID", help="As `trimtab keys list` names it.")]


@keys.command("create")
@guarded
def create(
    scope: Annotated[list[Scope], typer.Option("--scope", help="What it may do; repeatable.")],
    tenant: Annotated[
        str, typer.Option("--tenant", metavar="NAME", help="Whose requests these are.")
    ] = PUBLIC_TENANT,
    label: Annotated[str, typer.Option("--label", help="Who has it, for people.")] = "",
    expires: Annotated[
        str, typer.Option("--expires", help="Refused after that long: 90d, 12h; default: never.")
    ] = "",
    per_minute: Annotated[
        int | None, typer.Option("--per-minute", min=1, help="Default: the gateway's setting.")
    ] = None,
    reason: Reason = "",
    actor: Actor = "",
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Make a key and print it, once: only its digest is kept."""
    now, (text, token) = time.time(), mint()
    try:
        made = msgspec.convert(
            {
                "id": token.id,
                "digest": token.digest,
                "tenant": tenant,
                "scopes": sorted(set(scope)),
                "label": label,
                "created_at": now,
                "expires_at": now + seconds_of(expires) if expires else None,
                "per_minute": per_minute,
            },
            ApiKey,
        )
    except msgspec.ValidationError as error:
        raise Failure(str(error), "see `trimtab keys create --help`", ExitCode.USAGE) from None
    diff = f"key none -> {made.id}", f"tenant {tenant}", f"scopes {' '.join(made.scopes)}"
    act = _act("create", actor, reason, *diff)
    asyncio.run(_change(nats_url(nats), nkey_seed, lambda known: [*known, made], act, now))
    _show_secret(text, made, as_json=as_json)


@keys.command("list")
@guarded
def show(
    nats: options.Nats = None, nkey_seed: options.Seed = None, as_json: options.Json = False
) -> None:
    """List every key that was not revoked; secrets are not kept."""
    found, now = asyncio.run(_list(nats_url(nats), nkey_seed)), time.time()
    if as_json:
        print_json([_shape(key) for key in found])
        return
    table = Table(box=None)
    for column in ("id", "tenant", "scopes", "label", "expires", "per minute"):
        table.add_column(column)
    for key in found:
        table.add_row(
            key.id,
            key.tenant,
            " ".join(key.scopes),
            key.label,
            _expiry(key, now),
            str(key.per_minute or "-"),
        )
    stdout().print(table if found else "no keys; make one with `trimtab keys create`")


@keys.command("rotate")
@guarded
def rotate(
    name: Named,
    overlap: Annotated[
        str, typer.Option("--overlap", help="How long the old one still opens: 0s, 1h, 7d.")
    ] = "1d",
    reason: Reason = "",
    actor: Actor = "",
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Make a new key for the same caller; the old one expires after the overlap."""
    now, (text, token) = time.time(), mint()
    ends_at = now + seconds_of(overlap)
    made: list[ApiKey] = []

    def change(known: list[ApiKey]) -> list[ApiKey]:
        old = _of(known, name)
        new = msgspec.structs.replace(old, id=token.id, digest=token.digest, created_at=now)
        made[:] = [new]
        ending = min(ends_at, old.expires_at or ends_at)
        kept = [key for key in known if key.id != name]
        return [*kept, msgspec.structs.replace(old, expires_at=ending), new]

    act = _act("rotate", actor, reason, f"key {name} -> {token.id}", f"overlap {overlap}")
    asyncio.run(_change(nats_url(nats), nkey_seed, change, act, now))
    _show_secret(text, made[0], as_json=as_json)


@keys.command("revoke")
@guarded
def revoke(
    name: Named,
    reason: Reason = "",
    actor: Actor = "",
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Let a key open nothing from now on; every gateway obeys within two seconds."""
    gone: list[ApiKey] = []

    def change(known: list[ApiKey]) -> list[ApiKey]:
        gone[:] = [_of(known, name)]
        return [key for key in known if key.id != name]

    act = _act("revoke", actor, reason, f"key {name} -> none")
    asyncio.run(_change(nats_url(nats), nkey_seed, change, act, time.time()))
    if as_json:
        print_json(_shape(gone[0]))
    else:
        stdout().print(f"key {name} of {gone[0].tenant} opens nothing any more")


async def _list(url: str, nkey_seed: Path | None) -> list[ApiKey]:
    async with reach(url, nkey_seed) as client:
        store = await KeyStore.open(client.connection)
        return await store.read() if store else []


async def _change(url: str, nkey_seed: Path | None, change: Change, act: Act, now: float) -> None:
    async with reach(url, nkey_seed) as client:
        store = await KeyStore.open(client.connection, create=True)
        if store is not None:
            await store.change(change, now)
            await _record(client, act)


async def _record(client: Client, act: Act) -> None:
    try:
        await (await Ledger.open(client.connection, "keys")).append(act)
    except BusUnavailable:
        stderr().print("carried out, but the audit did not take its entry", style="red")


def _act(verb: str, actor: str, reason: str, *diff: str) -> Act:
    return Act(
        actor=who(actor),
        action=f"keys:{verb}",
        outcome="written",
        reason=reason,
        revision=0,
        operation=uuid.uuid4().hex,
        diff=diff,
    )


def _of(known: list[ApiKey], name: str) -> ApiKey:
    for key in known:
        if key.id == name:
            return key
    raise Failure(f"there is no key {name}", "see `trimtab keys list`")


def _show_secret(text: str, key: ApiKey, *, as_json: bool) -> None:
    if as_json:
        print_json({"key": text} | _shape(key))
        return
    stderr().print("shown once; send it as `Authorization: Bearer KEY`", style="yellow")
    stdout().print(text, markup=False, soft_wrap=True)


def _shape(key: ApiKey) -> dict[str, Any]:
    shape: dict[str, Any] = msgspec.to_builtins(key)
    del shape["digest"]
    return shape


def _expiry(key: ApiKey, now: float) -> str:
    if key.expires_at is None:
        return "never"
    left_h = (key.expires_at - now) / 3600
    return "expired" if left_h <= 0 else f"in {left_h:.1f} h"
