"""`trimtab jobs`: durable jobs by hand, joined here."""

import typer

from trimtab.cli.jobs import dead, submit, waiting


def build() -> typer.Typer:
    """Return the group of commands."""
    group = typer.Typer(
        help="Requests that must not be lost: submit, wait, look.", no_args_is_help=True
    )
    group.command("submit")(submit.submit)
    group.command("result")(waiting.result)
    group.command("wait")(waiting.wait)
    group.command("list")(waiting.show)
    group.add_typer(build_dead(), name="dead")
    return group


def build_dead() -> typer.Typer:
    """Return the commands on dead letters, which `trimtab dlq` are too."""
    group = typer.Typer(help="Jobs that were given up.", no_args_is_help=True)
    group.command("list")(dead.show)
    group.command("replay")(dead.replay)
    group.command("purge")(dead.purge)
    return group
