"""`trimtab jobs submit search|map|ingest INPUT`: a request into the durable queue."""

import asyncio
import re
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from trimtab.cli import options
from trimtab.cli.address import nats_url
from trimtab.cli.durations import seconds_of
from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import Failure, guarded
from trimtab.cli.link import reach
from trimtab.cli.output import print_json, stdout
from trimtab.contracts.documents import MAX_DOCUMENTS, Document, PutDocuments
from trimtab.contracts.jobs import JOB_ID_PATTERN, MAX_DEADLINE_S, JobKind, JobPriority
from trimtab.contracts.pipeline import MapCall, SearchRequest
from trimtab.contracts.retrieve import PUBLIC_TENANT
from trimtab.corpus import files
from trimtab.corpus.rows import BadRow

Request = SearchRequest | MapCall | PutDocuments


@guarded
def submit(
    kind: Annotated[JobKind, typer.Argument(help="Which verb.", metavar="search|map|ingest")],
    given: Annotated[
        str, typer.Argument(metavar="INPUT", help="The query, the output, or a file of passages.")
    ],
    detector: Annotated[
        str, typer.Option("--detector", metavar="NAME", help="Who said it; for map.")
    ] = "text",
    taxonomy: Annotated[
        str, typer.Option("--taxonomy", metavar="NAME", help="Which to answer in; for map.")
    ] = "ai-safety",
    collection: options.Collection = "docs",
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="For search.")] = 10,
    name: Annotated[
        str, typer.Option("--id", help="The same id again is the same job. Default: a new one.")
    ] = "",
    priority: Annotated[
        JobPriority, typer.Option("--priority", help="Normal jobs wait while high ones do.")
    ] = JobPriority.NORMAL,
    deadline: Annotated[
        str, typer.Option("--deadline", help="Nobody wants the answer after that long: 30m, 7d.")
    ] = "1d",
    tenant: options.Tenant = PUBLIC_TENANT,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Put a request into the durable queue; it is safe once this returns. A file of passages is one job per 64."""
    if kind is JobKind.SEARCH:
        asked: list[Request] = [SearchRequest(text=given, collection=collection, limit=limit)]
    elif kind is JobKind.MAP:
        asked = [MapCall(output=given, detector=detector, taxonomy=taxonomy)]
    else:
        asked = _passages(Path(given), collection, tenant)
    names = _names(name or uuid.uuid4().hex, len(asked))
    span_s = _span_s(deadline)

    async def send() -> None:
        async with reach(nats_url(nats), nkey_seed) as client:
            for each, request in zip(names, asked, strict=True):
                await client.submit(
                    request, job_id=each, tenant=tenant, priority=priority, deadline_s=span_s
                )

    asyncio.run(send())
    if as_json:
        print_json({"id": names[0], "ids": names, "kind": kind.value})
        return
    for each in names:
        stdout().print(each, markup=False)


def _names(name: str, count: int) -> list[str]:
    """Return the ids of ``count`` jobs: the name itself, or numbered ones."""
    names = [name] if count == 1 else [f"{name}-{number}" for number in range(1, count + 1)]
    if not all(re.match(JOB_ID_PATTERN, each) for each in names):
        raise typer.BadParameter("letters, digits, . _ and -, at most 64", param_hint="--id")
    return names


def _span_s(deadline: str) -> float:
    span_s = seconds_of(deadline)
    if not 0 < span_s <= MAX_DEADLINE_S:
        raise typer.BadParameter("more than 0 and at most 7d", param_hint="--deadline")
    return span_s


def _passages(path: Path, collection: str, tenant: str) -> list[Request]:
    if not path.exists():
        raise Failure(f"{path} does not exist", "name a file of passages", ExitCode.USAGE)
    rows = list(files.read(path, tenant))
    bad = next((row for row in rows if isinstance(row, BadRow)), None)
    if bad is not None:
        raise Failure(f"{bad.file}:{bad.line}: {bad.reason}", "mend it, or use `trimtab ingest`")
    documents = [row.document for row in rows if not isinstance(row, BadRow)]
    if not documents:
        raise Failure("the file holds no passages", "check that it is the right one")
    return [PutDocuments(collection=collection, documents=list(part)) for part in _parts(documents)]


def _parts(documents: Sequence[Document]) -> list[Sequence[Document]]:
    starts = range(0, len(documents), MAX_DOCUMENTS)
    return [documents[start : start + MAX_DOCUMENTS] for start in starts]
