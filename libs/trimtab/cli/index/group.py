"""`trimtab index ...`: what is known of a collection's index, measured on the deployment that serves it."""

import typer

from trimtab.cli.index import diagnose, norms, sweep, verify


def build() -> typer.Typer:
    """Return the group of commands."""
    group = typer.Typer(
        help="Verify and tune the indexes that serve: norms, recall, nprobe.", no_args_is_help=True
    )
    group.command("norms")(norms.norms)
    group.command("verify")(verify.verify)
    group.command("sweep")(sweep.sweep)
    group.command("diagnose")(diagnose.diagnose)
    return group
