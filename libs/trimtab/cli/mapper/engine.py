"""`trimtab mapper engine`: a language model as a mapper component, which a release may name."""

from pathlib import Path
from typing import Annotated

import typer

from trimtab.cli import options
from trimtab.cli.address import nats_url
from trimtab.cli.failure import guarded
from trimtab.cli.mapper.training import run


@guarded
def engine(
    name: Annotated[str, typer.Option("--name", metavar="NAME@VERSION", help="Of the component.")],
    kind: Annotated[str, typer.Option("--kind", metavar="openai|vllm", help="Which engine.")],
    model: Annotated[str, typer.Option("--model", help="Model name at the server.")],
    adapter: Annotated[
        Path | None,
        typer.Option("--adapter", file_okay=False, exists=True, help="A LoRA adapter's folder."),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            "--calibration", dir_okay=False, exists=True, help="JSON, as trained ones have it."
        ),
    ] = None,
    candidates: Annotated[
        str,
        typer.Option("--candidates", help="Component that retrieves the labels to choose from."),
    ] = "safety-head@1",
    count: Annotated[int, typer.Option("--count", min=2, max=64, help="How many labels.")] = 8,
    instruction: Annotated[
        str, typer.Option("--instruction", help="A sentence before the task.")
    ] = "",
    timeout_ms: Annotated[
        int, typer.Option("--timeout-ms", min=50, max=60_000, help="Most that a request may take.")
    ] = 1500,
    endpoint: Annotated[
        str,
        typer.Option("--endpoint", help="Server of MAPPER_ENDPOINTS; default: the kind's name."),
    ] = "",
    out: Annotated[
        Path | None, typer.Option("--out", file_okay=False, help="Folder. Default: in the home.")
    ] = None,
    push: Annotated[
        bool, typer.Option("--push", help="Store the component, so that a release may name it.")
    ] = False,
    nats: options.Nats = None,
    as_json: options.Json = False,
) -> None:
    """Make a component of a language model: any OpenAI-compatible server, or vLLM with a LoRA adapter."""
    words = ["--name", name, "--kind", kind, "--model", model, "--candidates", candidates]
    words += ["--count", str(count), "--timeout-ms", str(timeout_ms), "--endpoint", endpoint]
    words += ["--instruction", instruction]
    for option, path in (("--adapter", adapter), ("--calibration", calibration), ("--out", out)):
        words += [option, str(path)] if path is not None else []
    words += ["--push", "--nats", nats_url(nats)] if push else []
    run("services.mapper.make_engine", words, as_json=as_json)
