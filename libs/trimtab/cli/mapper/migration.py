"""`trimtab mapper taxonomy diff|plan|apply|invert`: from one version of a taxonomy to another, file by file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from trimtab.cli import options
from trimtab.cli.failure import guarded
from trimtab.cli.mapper.training import run

_MODULE = "services.mapper.migration"

Old = Annotated[str, typer.Argument(metavar="OLD", help="Taxonomy that is left: file or name.")]
New = Annotated[str, typer.Argument(metavar="NEW", help="Taxonomy that is gone to.")]
PlanFile = Annotated[Path, typer.Argument(metavar="PLAN", dir_okay=False, help="File of a plan.")]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", dir_okay=False, help="File to write the plan to.")
]
Lines = list[str] | None


@guarded
def diff(old: Old, new: New, as_json: options.Json = False) -> None:
    """Show which labels are gone, new, changed, and which are likely renamed."""
    run(_MODULE, ["diff", old, new], as_json=as_json)


@guarded
def plan(
    old: Old,
    new: New,
    rename: Annotated[
        Lines, typer.Option("--rename", metavar="OLD=NEW", help="Repeatable.")
    ] = None,
    merge: Annotated[
        Lines, typer.Option("--merge", metavar="NEW=OLD,OLD", help="Several become one.")
    ] = None,
    split: Annotated[
        Lines,
        typer.Option(
            "--split", metavar="OLD=NEW,NEW", help="One becomes several, the first by default."
        ),
    ] = None,
    remove: Annotated[
        Lines, typer.Option("--remove", metavar="OLD", help="Nothing replaces it.")
    ] = None,
    out: Out = None,
    as_json: options.Json = False,
) -> None:
    """Plan a migration and check it against both versions; likely renames need not be said."""
    words = ["plan", old, new, *_options("--out", [str(out)] if out else [])]
    fates = {"--rename": rename, "--merge": merge, "--split": split, "--remove": remove}
    words += [word for name, given in fates.items() for word in _options(name, given or [])]
    run(_MODULE, words, as_json=as_json)


@guarded
def apply(
    file: PlanFile,
    old: Old,
    new: New,
    detectors: Annotated[
        Path | None, typer.Option("--detectors", file_okay=False, help="Folder of detector files.")
    ] = None,
    examples: Annotated[
        Path | None, typer.Option("--examples", help="JSONL of examples, or a folder of them.")
    ] = None,
    golden: Annotated[
        Path | None, typer.Option("--golden", help="JSONL of golden cases, or a folder of them.")
    ] = None,
    frameworks: Annotated[
        Path | None, typer.Option("--frameworks", dir_okay=False, help="File of the controls.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", file_okay=False, help="Folder for the new files.")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Replace the files themselves.")] = False,
    as_json: options.Json = False,
) -> None:
    """Apply a plan to files that name labels; without --out or --write it only says what would change."""
    places = {
        "--detectors": detectors,
        "--examples": examples,
        "--golden": golden,
        "--frameworks": frameworks,
        "--out": out,
    }
    words = ["apply", str(file), old, new, *(["--write"] if write else [])]
    words += [word for name, path in places.items() if path for word in (name, str(path))]
    run(_MODULE, words, as_json=as_json)


@guarded
def invert(file: PlanFile, out: Out = None, as_json: options.Json = False) -> None:
    """Make the plan that takes one back; refused, with the labels, where it merges or removes some."""
    run(
        _MODULE,
        ["invert", str(file), *_options("--out", [str(out)] if out else [])],
        as_json=as_json,
    )


def add_to(taxonomy: typer.Typer) -> None:
    """Add the verbs to `trimtab mapper taxonomy`."""
    for verb in (diff, plan, apply, invert):
        taxonomy.command(verb.__name__)(verb)


def _options(name: str, given: Sequence[str]) -> list[str]:
    return [word for value in given for word in (name, value)]
