"""`trimtab eval check-rollback`: whether the search is again as good and fast as it was before."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from trimtab.cli import judged, options
from trimtab.cli.address import nats_url
from trimtab.cli.evaluate.labelled import (
    Place,
    TrainedOn,
    ask_gateway,
    ask_retriever,
    labelled,
)
from trimtab.cli.evaluate.record import record_of
from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import Failure, guarded
from trimtab.cli.questions import NeededFile
from trimtab.contracts.retrieve import PUBLIC_TENANT
from trimtab.evaluation.gates import Gate, at_least, at_most
from trimtab.evaluation.queries import digest
from trimtab.evaluation.summary import summarise


class _Mean(msgspec.Struct, frozen=True):
    mean: float


class _Latency(msgspec.Struct, frozen=True):
    p95: float


class Baseline(msgspec.Struct, frozen=True):
    """What is needed of a record that `trimtab eval run --out` wrote."""

    collection: str
    through: str
    queries_digest: str
    seed: int
    queries: int
    error_rate: float
    latency_ms: _Latency
    metrics: dict[str, _Mean]


@guarded
def check_rollback(
    baseline: Annotated[
        Path,
        typer.Option(exists=True, dir_okay=False, help="Of `trimtab eval run --out FILE`."),
    ],
    queries: NeededFile,
    trained_on: TrainedOn = None,
    expect: Annotated[
        str, typer.Option("--expect", metavar="RELEASE", help="That must answer every search.")
    ] = "",
    max_creep: Annotated[
        float, typer.Option(help="Percent by which P95 may exceed the baseline's.", min=0.0)
    ] = 15.0,
    max_errors: Annotated[
        float, typer.Option(help="Points by which the error rate may exceed it.", min=0.0)
    ] = 0.2,
    max_drop: Annotated[
        float, typer.Option(help="Points by which R@5 and Contain@50 may fall.", min=0.0)
    ] = 2.0,
    tenant: options.Tenant = PUBLIC_TENANT,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    timeout: options.Timeout = 5.0,
    as_json: options.Json = False,
) -> None:
    """Ask the baseline's queries again, now: P95, errors and quality must be back where they were.

    Exit code 1 when a gate fails. The bounds are those of runbook 5 for a healthy stage.
    """
    wanted = _read(baseline)
    asked, split = labelled(queries, wanted.queries, wanted.seed, trained_on)
    if digest(asked) != wanted.queries_digest:
        raise Failure(
            f"{queries.name} does not hold the queries of {baseline.name}",
            "give the file of queries that the baseline was made with, and --trained-on if it had one",
            ExitCode.USAGE,
        )
    place = Place(nats_url(nats), nkey_seed, wanted.collection, tenant, timeout_s=timeout)
    ask = ask_retriever if wanted.through == "retriever" else ask_gateway
    answers = asyncio.run(ask(place, asked))
    found = record_of(
        answers,
        summarise(answers.run, wanted.seed),
        asked,
        collection=wanted.collection,
        through=wanted.through,
        seed=wanted.seed,
        split=split,
    )
    gates = judge(wanted, found, expect, max_creep, max_errors, max_drop)
    judged.finish({"now": found}, gates, as_json=as_json)


def judge(
    wanted: Baseline,
    found: dict[str, Any],
    expect: str,
    max_creep: float,
    max_errors: float,
    max_drop: float,
) -> list[Gate]:
    """Return the gates of a record beside its baseline; pure."""
    latency = found["latency_ms"]
    p95 = float("nan") if latency is None else float(latency["p95"])
    was = f"baseline {wanted.latency_ms.p95:.2f}"
    gates = [
        at_most("P95 ms", p95, wanted.latency_ms.p95 * (1 + max_creep / 100), was),
        at_most(
            "error rate, percent",
            100 * found["error_rate"],
            100 * wanted.error_rate + max_errors,
            f"baseline {100 * wanted.error_rate:.2f}",
        ),
    ]
    for name in ("R@5", "Contain@50"):
        then, now = 100 * wanted.metrics[name].mean, 100 * found["metrics"][name]["mean"]
        gates.append(at_least(f"{name}, percent", now, then - max_drop, f"baseline {then:.2f}"))
    if expect:
        others = sum(times for name, times in found["releases"].items() if name != expect)
        gates.append(at_most(f"answers of another release than {expect}", others, 0))
    return gates


def _read(path: Path) -> Baseline:
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Baseline)
    except (OSError, msgspec.DecodeError) as error:
        raise Failure(
            f"{path.name} is no baseline: {error}",
            "make one with `trimtab eval run --queries FILE --out BASELINE.json`",
            ExitCode.USAGE,
        ) from None
    if not {"R@5", "Contain@50"} <= set(found.metrics):
        raise Failure(f"{path.name} lacks R@5 or Contain@50", "make it anew", ExitCode.USAGE)
    return found
