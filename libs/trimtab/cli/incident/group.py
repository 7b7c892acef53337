"""`trimtab incident`: what to keep of one, joined here."""

import typer

from trimtab.cli.incident.write import write


def build() -> typer.Typer:
    """Return the group of commands."""
    group = typer.Typer(help="Document an incident from the audit.", no_args_is_help=True)
    group.callback()(_incident)
    group.command("write")(write)
    return group


def _incident() -> None:
    """Document an incident from the audit."""
