"""`trimtab doctor`: is the machine fit, is the deployment whole, and what to do if not."""

import asyncio

import typer
from rich.markup import escape

from trimtab.cli import options
from trimtab.cli.address import nats_url
from trimtab.cli.checks.check import Check, Outcome
from trimtab.cli.checks.deployment import deployment
from trimtab.cli.checks.machine import machine
from trimtab.cli.checks.packages import packages
from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import guarded
from trimtab.cli.output import print_json, stdout
from trimtab.cli.version import installed
from trimtab.supervisor import state
from trimtab.supervisor.home import Home

_MARKS = {
    Outcome.OK: "[green]ok  [/]",
    Outcome.WARNING: "[yellow]warn[/]",
    Outcome.FAILED: "[red]FAIL[/]",
    Outcome.SKIPPED: "[dim]skip[/]",
}


@guarded
def doctor(
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Check the machine and the deployment; every failed check says what to do.

    Exit code 1 when a check failed; warnings alone keep it 0.
    """
    home = Home.find()
    found = [*machine(home, state.running(home.state)), *packages()]
    found += asyncio.run(deployment(nats_url(nats), nkey_seed, installed("trimtab") or "0.0.0"))

    sick = [check for check in found if check.outcome is Outcome.FAILED]
    if as_json:
        print_json({"healthy": not sick, "checks": found})
    else:
        _show(found, len(sick))
    if sick:
        raise typer.Exit(ExitCode.FAILED)


def _show(found: list[Check], sick: int) -> None:
    console = stdout()
    for check in found:
        name = check.name
        console.print(
            f"{_MARKS[check.outcome]} {escape(name):22} {escape(check.found)}", soft_wrap=True
        )
        if check.remedy:
            console.print(f"{'':27} -> {check.remedy}", markup=False, soft_wrap=True)
    console.print(f"\n{sick} of {len(found)} checks failed" if sick else "\neverything is in order")
