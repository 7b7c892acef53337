"""`trimtab map TEXT`: the canonical labels of a detector's output or of a text."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from trimtab.cli import options
from trimtab.cli.address import nats_url
from trimtab.cli.failure import guarded
from trimtab.cli.link import reach
from trimtab.cli.output import print_json, stdout
from trimtab.contracts.mapping import MapReply
from trimtab.contracts.pipeline import MapAnswer, MapCall
from trimtab.contracts.retrieve import PUBLIC_TENANT


@guarded
def map_output(
    output: Annotated[
        str, typer.Argument(help="A detector's label, an a|b aggregate, or a text.", metavar="TEXT")
    ],
    detector: Annotated[
        str, typer.Option("--detector", help="Who said it; `text` for free text.", metavar="NAME")
    ] = "text",
    taxonomy: Annotated[
        str, typer.Option("--taxonomy", help="Which taxonomy to answer in.", metavar="NAME")
    ] = "ai-safety",
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", min=0.0, max=1.0, help="Confidence below which rules decide."),
    ] = None,
    framework: Annotated[
        list[str] | None,
        typer.Option(
            "--framework", help="Name the controls of this one; repeatable.", metavar="NAME"
        ),
    ] = None,
    tenant: options.Tenant = PUBLIC_TENANT,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    timeout: options.Timeout = 5.0,
    as_json: options.Json = False,
) -> None:
    """Map what a detector said to labels of a taxonomy, and say who decided."""
    answer = asyncio.run(
        _ask(
            nats_url(nats),
            nkey_seed,
            MapCall(
                output=output,
                detector=detector,
                taxonomy=taxonomy,
                threshold=threshold,
                frameworks=framework,
            ),
            tenant,
            timeout,
        )
    )

    if as_json:
        told = shape(answer.answer)
        print_json({**told, "controls": answer.answer.controls} if framework else told)
    else:
        _show(answer)


async def _ask(
    url: str, nkey_seed: Path | None, call: MapCall, tenant: str, timeout_s: float
) -> MapAnswer:
    async with reach(url, nkey_seed) as client:
        return await client.map(
            call.output,
            detector=call.detector,
            taxonomy=call.taxonomy,
            threshold=call.threshold,
            frameworks=call.frameworks,
            tenant=tenant,
            timeout_s=timeout_s,
        )


def shape(reply: MapReply) -> dict[str, Any]:
    """Return what ``--json`` prints: a contract with scripts, fixed in the documentation."""
    return {
        "taxonomy": reply.taxonomy,
        "scores": reply.scores,
        "confidence": reply.confidence,
        "decided_by": reply.decided_by,
        "fallback_reason": reply.fallback_reason,
        "mode": reply.mode,
        "versions": reply.versions,
    }


def _show(answer: MapAnswer) -> None:
    console, reply = stdout(), answer.answer
    for label in reply.taxonomy:
        console.print(f"{reply.scores.get(label, 0.0):.3f}  {label}", markup=False, soft_wrap=True)
    why = f" ({reply.fallback_reason.value})" if reply.fallback_reason else ""
    console.print(f"decided by {reply.decided_by}{why}, confidence {reply.confidence:.3f}")
    for framework, controls in sorted(reply.controls.items()):
        console.print(f"{framework}: {', '.join(controls)}", markup=False, soft_wrap=True)
    versions = ", ".join(f"{part} {version}" for part, version in sorted(reply.versions.items()))
    console.print(f"{versions}; release {answer.release}", style="dim", soft_wrap=True)
