"""`trimtab ingest FILE...`: users' own text into a collection."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from trimtab.cli import options
from trimtab.cli.address import nats_url
from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import Failure, guarded
from trimtab.cli.link import reach
from trimtab.cli.output import print_json, stderr, stdout
from trimtab.contracts.errors import TrimtabError
from trimtab.corpus import files
from trimtab.corpus.rows import BadRow, Row
from trimtab.corpus.upload import Report, upload

DEFAULT_COLLECTION = "docs"
_SHOWN_REJECTIONS = 20
_SEARCHABLE_TIMEOUT_S = 120.0


def readable(paths: list[Path]) -> list[Path]:
    """Refuse paths that cannot be read before anything is sent; a typer callback."""
    for path in paths:
        try:
            files.check(path)
        except files.UnknownKind as error:
            raise typer.BadParameter(str(error)) from None
    return paths


@guarded
def ingest(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            callback=readable,
            help="JSON lines {id, text, title?, article?, tenant?, metadata?}, .md, .txt, or folders.",
        ),
    ],
    collection: options.Collection = DEFAULT_COLLECTION,
    tenant: Annotated[
        str | None,
        typer.Option(
            "--tenant", metavar="NAME", help="Owner of passages that name none. Default: everybody."
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Return once the passages can be searched.")
    ] = True,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Add or replace passages; what is stored already is left alone, bad rows are named and skipped.

    Exit code 1 when a row was rejected: the others are stored.
    """
    report, began = Report(collection), time.monotonic()
    try:
        asyncio.run(_send(nats_url(nats), nkey_seed, paths, tenant, report, wait))
    except TrimtabError:
        _say_what_is_stored(report)
        raise

    if as_json:
        print_json(shape(report))
    else:
        _show(report, time.monotonic() - began)
    if report.rejected:
        raise typer.Exit(ExitCode.FAILED)


async def _send(
    url: str,
    nkey_seed: Path | None,
    paths: Sequence[Path],
    tenant: str | None,
    report: Report,
    wait: bool,
) -> None:
    async with reach(url, nkey_seed) as client:
        total = await asyncio.to_thread(_count, paths, tenant)
        if not total:
            raise Failure("the files hold no passages", "check that they are the right ones")
        with _progress() as progress:
            bar = progress.add_task(f"ingesting into {report.collection}", total=total)
            rows = _rows(paths, tenant)
            await upload(client, rows, report, lambda settled: progress.advance(bar, settled))
        if wait and report.sequence:
            await client.wait_searchable(report.sequence, timeout_s=_SEARCHABLE_TIMEOUT_S)


def _rows(paths: Sequence[Path], tenant: str | None) -> Iterator[Row | BadRow]:
    for path in paths:
        yield from files.read(path, tenant)


def _count(paths: Sequence[Path], tenant: str | None) -> int:
    return sum(1 for _ in _rows(paths, tenant))


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=stderr(),
        transient=True,
    )


def shape(report: Report) -> dict[str, Any]:
    """Return what ``--json`` prints: a contract with scripts, fixed in the documentation."""
    return {
        "collection": report.collection,
        "new": report.new,
        "unchanged": report.unchanged,
        "rejected": [
            {"file": bad.file, "line": bad.line, "reason": bad.reason} for bad in report.rejected
        ],
    }


def _show(report: Report, took_s: float) -> None:
    console = stdout()
    console.print(
        f"{report.collection}: {report.new} new, {report.unchanged} unchanged, "
        f"{len(report.rejected)} rejected in {took_s:.1f} s"
    )
    for bad in report.rejected[:_SHOWN_REJECTIONS]:
        console.print(f"  {bad.file}:{bad.line}: {bad.reason}", markup=False, soft_wrap=True)
    more = len(report.rejected) - _SHOWN_REJECTIONS
    if more > 0:
        console.print(f"  and {more} more; --json lists all")
    if report.new or report.unchanged:
        console.print(f'try: trimtab search "..." --collection {report.collection}', style="dim")


def _say_what_is_stored(report: Report) -> None:
    if report.total:
        stderr().print(
            f"{report.new + report.unchanged} passages are stored; run the same command again, "
            "it skips them",
            soft_wrap=True,
        )
