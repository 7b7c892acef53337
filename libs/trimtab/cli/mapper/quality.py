"""`trimtab mapper quality validate|check-coverage|smoke` and `trimtab mapper detectors lint|add|fix`.

Golden cases and detector files are the mapper's own: each command runs a module of the mapper and
hands its output and its exit code through.
"""

from pathlib import Path
from typing import Annotated

import typer

from trimtab.cli import options, steering
from trimtab.cli.address import nats_url
from trimtab.cli.failure import Failure, guarded
from trimtab.cli.mapper.training import encoder_words, run
from trimtab.control.quality import Environment, Profile

quality = typer.Typer(
    help="Golden cases: what detectors emit, and what must come out.", no_args_is_help=True
)
detectors = typer.Typer(help="Files of detectors: what their labels mean.", no_args_is_help=True)

_MODULE = "services.mapper.quality"
_LINTING = "services.mapper.linting.command"

EnvironmentOption = Annotated[
    Environment,
    typer.Option("--environment", "-e", metavar="dev|staging|prod", help="Whose thresholds."),
]
Cases = Annotated[
    Path | None,
    typer.Option("--cases", exists=True, file_okay=False, help="Folder of golden cases."),
]
Only = Annotated[
    list[str] | None,
    typer.Option("--detector", metavar="NAME", help="Only this one; repeatable."),
]
Thresholds = Annotated[
    Path | None,
    typer.Option(
        "--thresholds", exists=True, dir_okay=False, help="Instead of deploy/policies/quality.yaml."
    ),
]
Files = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[FILE]...", exists=True, help="Detector files. Default: the shipped."),
]
TaxonomyFile = Annotated[
    Path | None,
    typer.Option("--taxonomy", exists=True, dir_okay=False, help="Whose labels they name."),
]


@quality.command("validate")
@guarded
def validate(
    release: Annotated[
        str, typer.Argument(metavar="[RELEASE]", help="Of the deployment. Default: the stable one.")
    ] = "",
    in_process: Annotated[
        bool, typer.Option("--in-process", help="A component here, without a deployment.")
    ] = False,
    component: Annotated[
        str,
        typer.Option(
            "--component", metavar="COMPONENT", help="In process: folder or NAME@VERSION."
        ),
    ] = "safety-head@1",
    rules_only: Annotated[
        bool, typer.Option("--rules-only", help="In process: the rules alone, no model.")
    ] = False,
    environment: EnvironmentOption = Environment.PROD,
    profile: Annotated[
        Profile, typer.Option("--profile", help="What the model runs on: cpu or gpu.")
    ] = "cpu",
    thresholds: Thresholds = None,
    cases: Cases = None,
    detector: Only = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", dir_okay=False, help="Also write the JSON.")
    ] = None,
    at_once: Annotated[
        int, typer.Option("--at-once", min=1, max=64, help="Questions in flight.")
    ] = 1,
    no_record: Annotated[
        bool, typer.Option("--no-record", help="Do not keep the report with the release.")
    ] = False,
    vectors: Annotated[
        Path | None,
        typer.Option("--vectors", exists=True, dir_okay=False, help="In process: kept earlier."),
    ] = None,
    reason: steering.Reason = "",
    actor: steering.Actor = "",
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Ask a release every golden case and judge it by the environment's thresholds; ends 1 when it fails.

    The report is kept with the release: without one that passes, a release that changes the mapper takes no
    request. One of a few detectors (--detector) is not kept.
    """
    if rules_only and not in_process:
        raise Failure("--rules-only is of --in-process", "or `trimtab mapper runtime set-mode`")
    words = [release] if release else []
    words += ["--environment", environment.value, "--profile", profile, "--at-once", str(at_once)]
    words += _named(thresholds=thresholds, cases=cases, output=output, vectors=vectors)
    words += _each("--detector", detector) + _flags(no_record=no_record, rules_only=rules_only)
    if in_process:
        words += ["--in-process", "--component", component, *encoder_words(nats)]
    else:
        words += ["--nats", nats_url(nats), "--actor", steering.who(actor), "--reason", reason]
        words += _named(nkey_seed=nkey_seed)
    run(f"{_MODULE}.validate", words, as_json=as_json)


@quality.command("check-coverage")
@guarded
def check_coverage(
    environment: EnvironmentOption = Environment.PROD,
    thresholds: Thresholds = None,
    cases: Cases = None,
    detector: Only = None,
    as_json: options.Json = False,
) -> None:
    """Count the golden cases of each detector and the taxonomy's categories that they cover; asks no mapper."""
    words = ["--environment", environment.value, *_each("--detector", detector)]
    words += _named(thresholds=thresholds, cases=cases)
    run(f"{_MODULE}.check_coverage", words, as_json=as_json)


@quality.command("smoke")
@guarded
def smoke(
    count: Annotated[int, typer.Option("--n", min=1, max=1000, help="How many cases.")] = 10,
    seed: Annotated[int, typer.Option("--seed", help="Another draw.")] = 0,
    cases: Cases = None,
    detector: Only = None,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Ask the deployment a few golden cases as any producer would; ends 1 when a label is wrong."""
    words = ["--n", str(count), "--seed", str(seed), "--nats", nats_url(nats)]
    words += _each("--detector", detector) + _named(cases=cases, nkey_seed=nkey_seed)
    run(f"{_MODULE}.smoke", words, as_json=as_json)


def _named(**paths: Path | None) -> list[str]:
    words: list[str] = []
    for name, path in paths.items():
        words += [f"--{name.replace('_', '-')}", str(path)] if path is not None else []
    return words


def _each(option: str, values: list[str] | None) -> list[str]:
    return [word for value in values or [] for word in (option, value)]


def _flags(**given: bool) -> list[str]:
    return [f"--{name.replace('_', '-')}" for name, on in given.items() if on]


@detectors.command("lint")
@guarded
def lint(files: Files = None, taxonomy: TaxonomyFile = None, as_json: options.Json = False) -> None:
    """Find all that is wrong with detector files, each with file and line; ends 1 when anything is."""
    words = ["lint", *map(str, files or []), *_named(taxonomy=taxonomy)]
    run(_LINTING, words, as_json=as_json)


@detectors.command("fix")
@guarded
def fix(
    files: Files = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the difference; write nothing.")
    ] = False,
    taxonomy: TaxonomyFile = None,
    as_json: options.Json = False,
) -> None:
    """Repair what needs no judgement: order, names that stand twice, labels with another name now.

    Ends 1 when something is left that a person must decide.
    """
    words = ["fix", *map(str, files or []), *_named(taxonomy=taxonomy), *_flags(dry_run=dry_run)]
    run(_LINTING, words, as_json=as_json)


@detectors.command("add")
@guarded
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What requests will call it.")],
    source: Annotated[
        str, typer.Option("--source", metavar="URL", help="Where the vendor publishes its labels.")
    ],
    label: Annotated[
        list[str] | None, typer.Argument(metavar="[LABEL]...", help="The vendor's labels.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", exists=True, dir_okay=False, help="File with one label per line."),
    ] = None,
    version: Annotated[str, typer.Option("--version", help="Of the file.")] = "1",
    out: Annotated[
        Path, typer.Option("--out", file_okay=False, help="Folder to write it into.")
    ] = Path(),
    taxonomy: TaxonomyFile = None,
    vectors: Annotated[
        Path | None,
        typer.Option("--vectors", exists=True, dir_okay=False, help="Kept earlier."),
    ] = None,
    nats: options.Nats = None,
    as_json: options.Json = False,
) -> None:
    """Begin the file of a new detector: each label with the nearest canonical one, marked for review."""
    words = ["add", name, *(label or []), "--source", source, "--version", version]
    words += _named(labels=labels, out=out, taxonomy=taxonomy, vectors=vectors)
    run(_LINTING, [*words, *encoder_words(nats)], as_json=as_json)
