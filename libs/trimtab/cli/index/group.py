"""`trimtab index ...`: what is known of a collection's index, measured on the deployment that serves it."""

import typer

from trimtab.cli.index import build as building
from trimtab.cli.index import diagnose, norms, rebuild, sweep, truth, verify


def build() -> typer.Typer:
    """Return the group of commands."""
    group = typer.Typer(
        help="Build, verify, tune and swap the indexes that serve.", no_args_is_help=True
    )
    group.command("build")(building.build)
    group.command("rebuild")(rebuild.rebuild)
    group.command("truth")(truth.truth)
    group.command("norms")(norms.norms)
    group.command("verify")(verify.verify)
    group.command("sweep")(sweep.sweep)
    group.command("diagnose")(diagnose.diagnose)
    return group
