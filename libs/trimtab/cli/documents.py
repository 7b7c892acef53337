"""`trimtab documents show|delete`: single passages of a collection, as they are stored."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from trimtab.cli import options
from trimtab.cli.address import nats_url
from trimtab.cli.failure import guarded
from trimtab.cli.link import reach
from trimtab.cli.output import print_json, stdout
from trimtab.contracts.documents import MAX_DELETED, DeleteReply, StoredDocument
from trimtab.contracts.retrieve import PUBLIC_TENANT

DEFAULT_COLLECTION = "docs"
_REQUEST_TIMEOUT_S = 60.0
_UNSEARCHABLE_TIMEOUT_S = 120.0

Owner = Annotated[
    str, typer.Option("--tenant", metavar="NAME", help="Whose passages. Default: everybody's.")
]


def build() -> typer.Typer:
    """Return the group of commands."""
    group = typer.Typer(help="Show and delete passages.", no_args_is_help=True)
    group.command("show")(show)
    group.command("delete")(delete)
    return group


@guarded
def show(
    name: Annotated[str, typer.Argument(metavar="ID", help="The passage.")],
    collection: options.Collection = DEFAULT_COLLECTION,
    tenant: Owner = PUBLIC_TENANT,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    timeout: options.Timeout = 5.0,
    as_json: options.Json = False,
) -> None:
    """Show a passage as it is stored now: a tenant's own, else the public one."""
    found = asyncio.run(_get(nats_url(nats), nkey_seed, collection, name, tenant, timeout))
    if as_json:
        print_json(msgspec.to_builtins(found))
    else:
        _show(found)


@guarded
def delete(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="ID...", help="Passages to delete.")
    ] = None,
    article: Annotated[
        list[str] | None,
        typer.Option(
            "--article", metavar="NAME", help="Delete all passages of an article; repeatable."
        ),
    ] = None,
    collection: options.Collection = DEFAULT_COLLECTION,
    tenant: Owner = PUBLIC_TENANT,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Return once no search finds them.")
    ] = True,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Delete passages that a tenant owns; what is not there is counted, and is no error."""
    ids, articles = names or [], article or []
    if not ids and not articles:
        raise typer.BadParameter("name passages, or --article", param_hint="ID...")
    gone = asyncio.run(
        _delete(nats_url(nats), nkey_seed, collection, ids, articles, tenant, wait=wait)
    )
    if as_json:
        print_json(shape(gone))
    else:
        stdout().print(f"{collection}: {gone.deleted} deleted, {gone.missing} were not there")


def shape(gone: DeleteReply) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    return {"collection": gone.collection, "deleted": gone.deleted, "missing": gone.missing}


async def _get(
    url: str, nkey_seed: Path | None, collection: str, name: str, tenant: str, timeout_s: float
) -> StoredDocument:
    async with reach(url, nkey_seed) as client:
        return await client.get_document(collection, name, tenant=tenant, timeout_s=timeout_s)


async def _delete(
    url: str,
    nkey_seed: Path | None,
    collection: str,
    ids: Sequence[str],
    articles: Sequence[str],
    tenant: str,
    *,
    wait: bool,
) -> DeleteReply:
    gone = DeleteReply(collection=collection, deleted=0, missing=0, sequence=0)
    async with reach(url, nkey_seed) as client:
        for start in range(0, max(len(ids), len(articles)), MAX_DELETED):
            part = slice(start, start + MAX_DELETED)
            reply = await client.delete_documents(
                collection,
                ids[part],
                articles=articles[part],
                tenant=tenant,
                timeout_s=_REQUEST_TIMEOUT_S,
            )
            gone = DeleteReply(
                collection=collection,
                deleted=gone.deleted + reply.deleted,
                missing=gone.missing + reply.missing,
                sequence=max(gone.sequence, reply.sequence),
            )
        if wait and gone.sequence:
            await client.wait_searchable(gone.sequence, timeout_s=_UNSEARCHABLE_TIMEOUT_S)
    return gone


def _show(found: StoredDocument) -> None:
    console, document = stdout(), found.document
    console.print(document.id, style="bold", markup=False, soft_wrap=True)
    about = {
        "title": document.title,
        "article": document.article or document.id,
        "owner": document.tenant,
        "stored": f"{found.collection} at sequence {found.sequence}",
        "vector": f"{found.namespace} by {found.component}",
        **document.metadata,
    }
    for name, value in about.items():
        if value:
            console.print(f"  {name}: {value}", markup=False, soft_wrap=True)
    console.print(document.text, markup=False, soft_wrap=True)
