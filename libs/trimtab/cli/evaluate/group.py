"""`trimtab eval ...`: how good the search is, measured on the deployment that serves it."""

import typer

from trimtab.cli.evaluate import compare, rerank, rollback, run


def build() -> typer.Typer:
    """Return the group of commands."""
    group = typer.Typer(
        help="Measure quality: recall, MRR, containment, before and after (docs/evaluation.md).",
        no_args_is_help=True,
    )
    group.command("run")(run.run)
    group.command("compare")(compare.compare)
    group.command("rerank")(rerank.rerank)
    group.command("check-rollback")(rollback.check_rollback)
    return group
