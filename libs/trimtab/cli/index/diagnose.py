"""`trimtab index diagnose`: everything that is asked first when retrieval looks wrong, in one bundle."""

import asyncio
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from trimtab.cli import judged, options
from trimtab.cli.address import nats_url
from trimtab.cli.failure import Failure, guarded
from trimtab.cli.index.bundle import Bundle, Wanted, gather
from trimtab.cli.link import reach
from trimtab.cli.output import stdout
from trimtab.contracts.inspect import InspectReply
from trimtab.contracts.retrieve import PUBLIC_TENANT
from trimtab.contracts.samples import Readiness
from trimtab.corpus.stdlib import COLLECTION
from trimtab.evaluation.chart import bars
from trimtab.evaluation.gates import Gate, at_least, at_most
from trimtab.evaluation.page import Section, Table


@guarded
def diagnose(
    collection: options.Collection = COLLECTION,
    sample: Annotated[
        int, typer.Option("--sample", min=1, max=256, help="Stored vectors to search for.")
    ] = 200,
    least_recall: Annotated[
        float, typer.Option("--min-recall", min=0.0, max=1.0, help="Share that find themselves.")
    ] = 0.99,
    most_imbalance: Annotated[
        float, typer.Option("--max-imbalance", min=1.0, help="Of the IVF lists; 1 is even.")
    ] = 2.0,
    strict: Annotated[
        bool, typer.Option("--strict", help="End 1 also when the index should be built anew.")
    ] = False,
    seed: judged.RandomSeed = 7,
    release: judged.ReleaseName = "",
    tenant: options.Tenant = PUBLIC_TENANT,
    out: Annotated[
        Path | None,
        typer.Option("--out", dir_okay=False, metavar="FILE.json", help="Also write the bundle."),
    ] = None,
    report: judged.ReportFile = None,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Gather health, norms, oracle recall, imbalance and the last commands; exit code 1 when one looks wrong.

    Advice to build the index anew is told, and is no fault unless --strict says so.
    Oracle recall: stored vectors must find themselves. What does not is lost, whatever people ask.
    """
    wanted = Wanted(collection, tenant, release, sample, seed)

    async def ask() -> Bundle:
        async with reach(nats_url(nats), nkey_seed) as client:
            return await gather(client, wanted)

    bundle = asyncio.run(ask())
    gates = judge(bundle, least_recall, most_imbalance)
    if strict:
        gates.append(_advice_gate(bundle))
    result = shape(bundle)
    _write(out, {"gates": [gate.shape() for gate in gates], **result})
    _report(report, bundle, gates)
    if not as_json:
        _show(bundle)
    judged.finish(result, gates, as_json=as_json)


def judge(bundle: Bundle, least_recall: float, most_imbalance: float) -> list[Gate]:
    """Return what must hold of a healthy deployment; pure."""
    sick = [s for s in bundle.samples if s.readiness is not Readiness.READY or s.stale]
    named = "; ".join(f"{each.instance}: {each.reason or each.readiness.value}" for each in sick)
    newest = max((sample.revision for sample in bundle.samples), default=0)
    behind = [s.instance for s in bundle.samples if s.revision < newest]
    gates = [
        at_most("questions without an answer", len(bundle.problems), 0, "; ".join(bundle.problems)),
        at_least("workers that answer", len(bundle.samples), 1),
        at_most("workers not simply ready", len(sick), 0, named),
        at_most("workers behind the newest revision", len(behind), 0, ", ".join(behind)),
    ]
    if bundle.facts is None:
        return gates
    recall = bundle.oracle.found / bundle.oracle.asked if bundle.oracle.asked else float("nan")
    what = f"{bundle.oracle.found} of {bundle.oracle.asked}"
    gates.append(at_least("oracle recall", recall, least_recall, what))
    return gates + _index_gates(bundle.facts, most_imbalance)


def _advice_gate(bundle: Bundle) -> Gate:
    advice = "" if bundle.facts is None else bundle.facts.advice
    return at_most("indexes that should be built anew", int(bool(advice)), 0, advice)


def _index_gates(facts: InspectReply, most_imbalance: float) -> list[Gate]:
    gates = [at_most("stored vectors not of unit length", facts.stored.beyond, 0)]
    if facts.copies is not None:
        gates.append(at_most("vectors in the lists not of unit length", facts.copies.beyond, 0))
    if facts.kind not in ("flat", "milvus"):
        missing = abs(facts.passages - facts.listed)
        gates.append(at_most("passages that the lists lack or have twice", missing, 0))
    if facts.lists:
        gates.append(
            at_most("imbalance of the lists", facts.imbalance, most_imbalance, _lengths(facts))
        )
    return gates


def _lengths(facts: InspectReply) -> str:
    empty = facts.lists.count(0)
    return f"{len(facts.lists)} lists of {facts.lists[-1]} to {facts.lists[0]}, {empty} empty"


def shape(bundle: Bundle) -> dict[str, Any]:
    """Return the bundle as ``--json`` prints it; neither texts nor vectors are in it."""
    facts = None
    if bundle.facts is not None:
        facts = msgspec.to_builtins(msgspec.structs.replace(bundle.facts, sample=None))
        del facts["sample"]
    return {
        "at": time.time(),
        "problems": bundle.problems,
        "workers": [
            {
                "service": each.service,
                "instance": each.instance,
                "version": each.version,
                "readiness": each.readiness.value,
                "reason": each.reason,
                "components": each.components,
                "revision": each.revision,
                "rss_bytes": each.rss_bytes,
                "facts": each.facts,
            }
            for each in sorted(bundle.samples, key=lambda s: (s.service, s.instance))
        ],
        "rebuild_advised": bundle.facts is not None and bool(bundle.facts.advice),
        "index": facts,
        "nprobe": bundle.nprobe,
        "oracle": {"asked": bundle.oracle.asked, "found": bundle.oracle.found},
        "commands": bundle.commands,
    }


def _show(bundle: Bundle) -> None:
    console = stdout()
    console.print(_headline(bundle), markup=False)
    if bundle.facts is not None and bundle.facts.advice:
        console.print(bundle.facts.advice, style="yellow", markup=False, soft_wrap=True)
    for each in bundle.commands:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(each.at))
        console.print(f"  {at}  {each.actor}  {each.action}  {each.outcome}", markup=False)
        for line in each.diff:
            console.print(f"      {line}", markup=False, style="dim")


def _headline(bundle: Bundle) -> str:
    facts = bundle.facts
    if facts is None:
        return "no facts of the index"
    lists = f"{_lengths(facts)}, nprobe {bundle.nprobe}" if facts.lists else "no lists"
    if facts.kind == "flat":
        lists = "answers exactly"
    return f"{facts.index}: {facts.kind}, {facts.passages} passages, {lists}"


def _write(out: Path | None, bundle: dict[str, Any]) -> None:
    if out is None:
        return
    try:
        out.write_bytes(msgspec.json.format(msgspec.json.encode(bundle), indent=1) + b"\n")
    except OSError as error:
        problem = f"{out} cannot be written: {error.strerror}"
        raise Failure(problem, "name a file in a folder that exists") from None


def _report(report: judged.ReportFile, bundle: Bundle, gates: list[Gate]) -> None:
    lengths = [] if bundle.facts is None else bundle.facts.lists
    places = [str(number + 1) for number in range(len(lengths))]
    rows = [
        (
            time.strftime("%m-%d %H:%M:%S", time.localtime(e.at)),
            e.actor,
            e.action,
            "; ".join(e.diff),
        )
        for e in bundle.commands
    ]
    workers = [
        (s.instance, s.readiness.value, str(s.revision), f"{s.rss_bytes / 2**20:.0f}")
        for s in bundle.samples
    ]
    judged.write_report(
        report,
        "Diagnosis",
        _headline(bundle),
        gates,
        [
            Section(
                "Lengths of the lists, longest first",
                "" if lengths else "No lists.",
                [bars(places, lengths, "list -> passages")] if lengths else [],
            ),
            Section(
                "Workers",
                parts=[Table(("instance", "readiness", "revision", "MiB"), workers).html()],
            ),
            Section("Last commands", parts=[Table(("at", "who", "what", "diff"), rows).html()]),
        ],
    )
