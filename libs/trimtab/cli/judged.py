"""What the measuring commands share: gates on the screen, a progress bar, a file of queries, exit codes."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import Failure
from trimtab.cli.output import print_json, stderr, stdout
from trimtab.evaluation.gates import Gate, all_hold
from trimtab.evaluation.page import Section, page

RandomSeed = Annotated[
    int,
    typer.Option(
        "--seed", min=0, max=4_294_967_295, help="Chooses and resamples; the same gives the same."
    ),
]

ReleaseName = Annotated[
    str,
    typer.Option(
        "--release",
        metavar="NAME",
        help="Whose components to measure; default: the stable release.",
    ),
]


def writable(file: Path | None) -> Path | None:
    """Refuse a file whose folder cannot take it before anything is asked; a typer callback."""
    if file is not None and not os.access(file.absolute().parent, os.W_OK | os.X_OK):
        raise typer.BadParameter(f"{file} cannot be written; name a file in a folder that exists")
    return file


ReportFile = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE.html",
        dir_okay=False,
        callback=writable,
        help="Also write a page to look at.",
    ),
]


def progress() -> Progress:
    """Return a bar on stderr that leaves nothing behind."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=stderr(),
        transient=True,
    )


def write_report(
    file: Path | None, title: str, summary: str, gates: Sequence[Gate], sections: Sequence[Section]
) -> None:
    """Write the page, if one was asked for.

    Raises:
        Failure: the file cannot be written.
    """
    if file is None:
        return
    try:
        file.write_text(page(title, summary, gates, sections), encoding="utf-8")
    except OSError as error:
        problem = f"{file} cannot be written: {error.strerror}"
        raise Failure(problem, "name a file in a folder that exists") from None
    stderr().print(f"report: {file}", markup=False, soft_wrap=True)


def inconclusive(problem: str, remedy: str) -> Failure:
    """Return the failure of a command that could judge neither way; exit code 4."""
    return Failure(problem, remedy, ExitCode.INCONCLUSIVE, "Inconclusive")


def show_gates(gates: Sequence[Gate]) -> None:
    """Print one line per gate."""
    for gate in gates:
        stdout().print(gate.line(), style="green" if gate.ok else "red", markup=False)


def finish(result: dict[str, Any], gates: Sequence[Gate], *, as_json: bool) -> None:
    """Print the gates, or everything as JSON; end 1 when one does not hold.

    ``result`` gets ``ok`` and ``gates``, the same keys for every command.
    """
    ok = all_hold(gates)
    if as_json:
        print_json({"ok": ok, "gates": [gate.shape() for gate in gates], **result})
    else:
        show_gates(gates)
    if not ok:
        raise typer.Exit(ExitCode.FAILED)
