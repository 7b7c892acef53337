"""`trimtab mapper train|report|predict` and `trimtab mapper taxonomy import`: a user's own labels, without code.

Training and reading taxonomies are the mapper's own code, which the command line does not import: each
command runs a module of ``services.mapper`` and hands its output and its exit code through.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from trimtab.cli import options
from trimtab.cli.address import VARIABLE, nats_url
from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import Failure, guarded
from trimtab.supervisor import state
from trimtab.supervisor.home import Home

_ALONE = "--alone"

_OUT = typer.Option("--out", file_okay=False, help="Folder. Default: in the home.")
_VECTORS = typer.Option(
    "--vectors", exists=True, dir_okay=False, help="Vectors kept earlier; no encoder is asked."
)


@guarded
def import_taxonomy(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What to import.")],
    source: Annotated[
        str,
        typer.Option("--from", metavar="attack|jsonl|yaml", help="How the file says its labels."),
    ] = "",
    name: Annotated[str, typer.Option("--name", help="Of the taxonomy.")] = "",
    version: Annotated[str, typer.Option("--version", help="Of the taxonomy.")] = "1",
    out: Annotated[Path | None, _OUT] = None,
    procedures: Annotated[
        Path | None,
        typer.Option(
            "--procedures", dir_okay=False, help="ATT&CK procedure examples, to train on."
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Turn MITRE ATT&CK's techniques, JSON lines or a YAML file into a checked taxonomy.

    JSON lines are {id, name, description} and may name parent, tactics and aliases.
    """
    kind = source or ("yaml" if file.suffix in (".yaml", ".yml") else "jsonl")
    words = [str(file), "--from", kind, "--version", version]
    words += ["--name", name] if name else []
    words += ["--out", str(out)] if out is not None else []
    words += ["--procedures", str(procedures)] if procedures is not None else []
    run("services.mapper.taxonomy_import", words, as_json=as_json)


@guarded
def train(
    taxonomy_file: Annotated[
        str,
        typer.Option("--taxonomy", metavar="FILE|NAME", help="YAML file, or one imported here."),
    ],
    examples: Annotated[
        Path,
        typer.Option("--examples", help="JSONL {id, text, label, group}, or a folder of them."),
    ],
    name: Annotated[str, typer.Option("--name", metavar="NAME@VERSION", help="Of the component.")],
    out: Annotated[Path | None, _OUT] = None,
    vectors: Annotated[Path | None, _VECTORS] = None,
    keep_vectors: Annotated[
        Path | None, typer.Option("--keep-vectors", help="Keep the encoder's answers here.")
    ] = None,
    push: Annotated[
        bool, typer.Option("--push", help="Store the component, so that a release may name it.")
    ] = False,
    nats: options.Nats = None,
    as_json: options.Json = False,
) -> None:
    """Train a mapper component on examples of your own, in minutes on a CPU.

    What one group of examples says is never on both sides of a split. The running encoder gives the
    vectors; where none runs, one is started for this command.
    """
    words = ["--taxonomy", taxonomy_file, "--examples", str(examples), "--name", name]
    asked = encoder_words(nats)
    if push and asked == [_ALONE]:
        remedy = "start one with `trimtab up`, or name it with --nats"
        raise Failure("there is no deployment to push to", remedy, ExitCode.UNREACHABLE)
    words += asked
    words += ["--out", str(out)] if out is not None else []
    words += ["--vectors", str(vectors)] if vectors is not None else []
    words += ["--keep-vectors", str(keep_vectors)] if keep_vectors is not None else []
    words += ["--push"] if push else []
    run("services.mapper.train", words, as_json=as_json)


@guarded
def report(
    component: Annotated[
        str, typer.Argument(metavar="COMPONENT", help="Folder, or NAME@VERSION trained here.")
    ],
    page: Annotated[
        Path | None, typer.Option("--page", dir_okay=False, help="Also write it as an HTML page.")
    ] = None,
    examples: Annotated[
        Path | None,
        typer.Option(
            "--examples", help="Measure it now on these labelled rows, which it never saw."
        ),
    ] = None,
    taxonomy_file: Annotated[
        str, typer.Option("--taxonomy", metavar="FILE|NAME", help="Of the examples.")
    ] = "",
    vectors: Annotated[Path | None, _VECTORS] = None,
    nats: options.Nats = None,
    as_json: options.Json = False,
) -> None:
    """Show what a component's confidence means: calibration, thresholds, coverage, all on what it never saw.

    What was held out of its training, or --examples of your own: then the encoder is asked, as `train` does.
    """
    words = [component]
    words += ["--page", str(page)] if page is not None else []
    if examples is not None:
        words += ["--examples", str(examples), *encoder_words(nats)]
        words += ["--taxonomy", taxonomy_file] if taxonomy_file else []
        words += ["--vectors", str(vectors)] if vectors is not None else []
    run("services.mapper.reporting", words, as_json=as_json)


@guarded
def predict(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", dir_okay=False, help="JSONL rows {id, text}.")
    ],
    adapter: Annotated[
        str,
        typer.Option(
            "--adapter", metavar="COMPONENT", help="Folder, or NAME@VERSION trained here."
        ),
    ],
    threshold: Annotated[
        float,
        typer.Option("--threshold", min=0.0, max=1.0, help="Confidence below which it is unknown."),
    ] = 0.0,
    top: Annotated[int, typer.Option("--top", min=1, max=32, help="Labels per row.")] = 3,
    vectors: Annotated[Path | None, _VECTORS] = None,
    nats: options.Nats = None,
    as_json: options.Json = False,
) -> None:
    """Map a file of texts with a component that need not be deployed; --json gives a line per row."""
    words = [str(file), "--adapter", adapter, "--threshold", str(threshold), "--top", str(top)]
    words += encoder_words(nats)
    words += ["--vectors", str(vectors)] if vectors is not None else []
    run("services.mapper.predict", words, as_json=as_json)


def encoder_words(nats: str | None) -> list[str]:
    """Return who is asked for vectors: a deployment that is named or runs here, else one of its own."""
    known = nats or os.environ.get(VARIABLE) or state.running(Home.find().state)
    return ["--nats", nats_url(nats)] if known else [_ALONE]


def run(module: str, words: list[str], *, as_json: bool) -> None:
    """Run a module of the mapper in a process of its own and end as it ends."""
    if importlib.util.find_spec("services") is None or importlib.util.find_spec(module) is None:
        raise Failure("the mapper is not installed here", "pip install 'trimtab[mapper,train]'")
    words = [sys.executable, "-m", module, *words, *(["--json"] if as_json else [])]
    code = subprocess.run(words, check=False).returncode  # noqa: S603 - our own module, no shell
    if code:
        raise typer.Exit(code)
