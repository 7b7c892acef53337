"""`trimtab eval run`: the quality of the running search on held-out queries, one more line in its history."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from trimtab.cli import judged, options
from trimtab.cli.address import nats_url
from trimtab.cli.evaluate import record
from trimtab.cli.evaluate.labelled import (
    ALL,
    Place,
    TrainedOn,
    ask_gateway,
    ask_retriever,
    keep,
    labelled,
    refuse_nothing_found,
)
from trimtab.cli.evaluate.publish import evaluation_of
from trimtab.cli.evaluate.publish import publish as tell
from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import Failure, guarded, of
from trimtab.cli.output import print_json, stdout
from trimtab.cli.questions import Count, NeededFile
from trimtab.contracts.errors import TrimtabError
from trimtab.contracts.retrieve import PUBLIC_TENANT
from trimtab.corpus.stdlib import COLLECTION
from trimtab.evaluation.summary import summarise
from trimtab.supervisor.home import Home

HitsFile = Annotated[
    Path | None,
    typer.Option(
        "--hits",
        dir_okay=False,
        metavar="FILE",
        callback=judged.writable,
        help="Write every query's results: JSON lines.",
    ),
]


@guarded
def run(
    queries: NeededFile,
    collection: options.Collection = COLLECTION,
    count: Count = ALL,
    trained_on: TrainedOn = None,
    no_rerank: Annotated[
        bool,
        typer.Option("--no-rerank", help="Ask encoder and retriever alone, not the gateway."),
    ] = False,
    hits: HitsFile = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            dir_okay=False,
            metavar="FILE",
            callback=judged.writable,
            help="Write the whole record: a baseline.",
        ),
    ] = None,
    history: Annotated[
        Path | None,
        typer.Option(
            "--history",
            dir_okay=False,
            metavar="FILE",
            help="Default: the home's eval/history.jsonl.",
        ),
    ] = None,
    publish: Annotated[
        bool,
        typer.Option(
            "--publish",
            help="Tell the controller, whose trigger takes a release back when R@5 fell by 10 points.",
        ),
    ] = False,
    seed: judged.RandomSeed = 7,
    release: judged.ReleaseName = "",
    tenant: options.Tenant = PUBLIC_TENANT,
    report: judged.ReportFile = None,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    timeout: options.Timeout = 5.0,
    as_json: options.Json = False,
) -> None:
    """Evaluate the search that runs now: R@1/5/10, MRR@10, Contain@50, with intervals and per cluster.

    Every query names what is relevant; those of one cluster (an article, an actor) are drawn together.
    Exit code 1 when a query got an error or --publish was not acknowledged, 4 when nothing relevant was
    ever found or training saw every article.
    """
    if release and not no_rerank:
        raise typer.BadParameter("the gateway chooses the release: --release needs --no-rerank")
    asked, split = labelled(queries, count, seed, trained_on)
    place = Place(nats_url(nats), nkey_seed, collection, tenant, release, timeout)
    through = "retriever" if no_rerank else "gateway"
    answers = asyncio.run((ask_retriever if no_rerank else ask_gateway)(place, asked))
    keep(hits, answers.run)
    if not answers.errors:
        refuse_nothing_found(answers.run)

    summary = summarise(answers.run, seed)
    about: record.About = {
        "collection": collection,
        "through": through,
        "seed": seed,
        "split": split,
    }
    made = record.record_of(answers, summary, asked, **about, whole=True)
    line = record.record_of(answers, summary, asked, **about)
    kept = history or Home.find().root / "eval" / "history.jsonl"
    record.remember(kept, line)
    _write(out, made)
    title = f"Evaluation of {collection}, through the {through}"
    words = f"{len(asked)} queries; releases {dict(answers.releases)}; {answers.versions}"
    judged.write_report(report, title, words, [], record.sections(summary, kept, line))
    if not as_json:
        stdout().print(f"{collection}: {len(asked)} queries through the {through}", markup=False)
        record.show(summary, answers, split)
        record.show_sparse(answers, seed)
    if publish:
        _publish(place, kept, line, made)
        made["published"] = True
    if as_json:
        print_json(made)
    if answers.errors:
        raise typer.Exit(ExitCode.FAILED)


def _publish(place: Place, history: Path, line: dict[str, Any], made: dict[str, Any]) -> None:
    """Tell the controller of a run.

    Raises:
        Failure: it was not told, with what was measured in its result.
    """
    try:
        alone = record.same_queries(history, {**line, "through": "retriever"})
        told = evaluation_of(line, record.same_queries(history, line)[:-1], alone)
        asyncio.run(tell(place.url, place.nkey_seed, told))
    except (Failure, TrimtabError) as error:
        failure = error if isinstance(error, Failure) else of(error)
        failure.result = {**made, "published": False}
        raise failure from None


def _write(out: Path | None, made: dict[str, object]) -> None:
    if out is None:
        return
    try:
        out.write_bytes(msgspec.json.encode(made) + b"\n")
    except OSError as error:
        problem = f"{out} cannot be written: {error.strerror}"
        raise Failure(problem, "name a file in a folder that exists") from None
