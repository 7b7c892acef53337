"""`trimtab search TEXT`: the best passages of a collection."""

import asyncio
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from trimtab.cli import options
from trimtab.cli.address import nats_url
from trimtab.cli.explain import show as show_explanation
from trimtab.cli.failure import Failure, guarded
from trimtab.cli.link import reach
from trimtab.cli.output import print_json, stderr, stdout
from trimtab.contracts.pipeline import MAX_CONTEXT, MAX_SESSION_CHARS, SearchReply, SearchRequest
from trimtab.contracts.retrieve import PUBLIC_TENANT
from trimtab.corpus.stdlib import COLLECTION

_SHOWN_CHARS = 240
_BLANK_LINE = re.compile(r"\n\s*\n")


@guarded
def search(
    text: Annotated[str, typer.Argument(help="What to look for, in plain words.", metavar="TEXT")],
    collection: options.Collection = COLLECTION,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="Most results.")] = 10,
    context: Annotated[
        list[str] | None,
        typer.Option(
            "--context",
            help="What was read or asked before, oldest first: a text, or a file of paragraphs; repeatable.",
            metavar="TEXT|FILE",
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", help="Passage to leave out; repeatable.", metavar="ID"),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Also show why: scores, features, versions, times.")
    ] = False,
    session: Annotated[
        str | None,
        typer.Option(
            "--session",
            help="Your name for queries that follow each other: a reranker may look at the last three.",
            metavar="NAME",
        ),
    ] = None,
    tenant: options.Tenant = PUBLIC_TENANT,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    timeout: options.Timeout = 5.0,
    as_json: options.Json = False,
) -> None:
    """Search a collection and print the best passages, best first."""
    if not text.strip():
        raise typer.BadParameter("the text is blank", param_hint="TEXT")

    request = SearchRequest(
        text=text,
        collection=collection,
        limit=limit,
        context=texts_of(context or [])[-MAX_CONTEXT:],
        exclude=exclude or [],
        explain=explain,
        session=_named(session),
    )
    reply = asyncio.run(_ask(nats_url(nats), nkey_seed, request, tenant, timeout))

    for left_out in reply.degraded:
        stderr().print(f"degraded: {left_out}", style="yellow", markup=False)
    if as_json:
        print_json(shape(reply))
    else:
        _show(reply)
        if reply.explanation is not None:
            stdout().print()
            show_explanation(reply.explanation, stdout())


async def _ask(
    url: str, nkey_seed: Path | None, request: SearchRequest, tenant: str, timeout_s: float
) -> SearchReply:
    async with reach(url, nkey_seed) as client:
        return await client.search(
            request.text,
            collection=request.collection,
            limit=request.limit,
            context=request.context,
            exclude=request.exclude,
            explain=request.explain,
            session=request.session,
            tenant=tenant,
            timeout_s=timeout_s,
        )


def _named(session: str | None) -> str | None:
    if session is not None and not 1 <= len(session) <= MAX_SESSION_CHARS:
        raise typer.BadParameter(
            f"must have 1 to {MAX_SESSION_CHARS} characters", param_hint="--session"
        )
    return session


def texts_of(given: Iterable[str]) -> list[str]:
    """Return the context's texts: each that names a file stands for the file's paragraphs."""
    texts: list[str] = []
    for text in given:
        texts.extend(_paragraphs(Path(text)) if os.path.isfile(text) else [text])  # noqa: PTH113 - a long text is no error
    return texts


def _paragraphs(path: Path) -> list[str]:
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(
            f"{path.name} cannot be read: {type(error).__name__}", "name a UTF-8 text file"
        ) from None
    return [part.strip() for part in _BLANK_LINE.split(content) if part.strip()]


def shape(reply: SearchReply) -> dict[str, Any]:
    """Return what ``--json`` prints: a contract with scripts, fixed in the documentation."""
    why = {} if reply.explanation is None else {"explanation": reply.explanation}
    return {
        "request_id": reply.request_id,
        "release": reply.release,
        "results": [
            {
                "id": result.id,
                "score": result.score,
                "title": result.title,
                "text": result.text,
                "metadata": result.metadata,
            }
            for result in reply.results
        ],
        "timing_ms": reply.timing_ms,
        **why,
    }


def _show(reply: SearchReply) -> None:
    console = stdout()
    for rank, result in enumerate(reply.results, start=1):
        line = Text(f"{rank:>2}  {result.score:.3f}  ")
        line.append(result.title or result.id, style="bold")
        console.print(line, soft_wrap=True)
        console.print(f"           {_first_words(result.text)}", markup=False, soft_wrap=True)
    if not reply.results:
        console.print("nothing found")
    times = ", ".join(f"{stage} {took:.1f}" for stage, took in reply.timing_ms.items())
    console.print(
        f"\n{len(reply.results)} results; ms: {times}; release {reply.release}", style="dim"
    )


def _first_words(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= _SHOWN_CHARS else words[: _SHOWN_CHARS - 3] + "..."
