"""What the measuring commands share: gates on the screen, a progress bar, a file of queries, exit codes."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from trimtab.cli.exitcode import ExitCode
from trimtab.cli.output import print_json, stderr, stdout
from trimtab.evaluation.gates import Gate, all_hold

RandomSeed = Annotated[
    int,
    typer.Option(
        "--seed", min=0, max=4_294_967_295, help="Chooses and resamples; the same gives the same."
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
