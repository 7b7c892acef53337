"""The page about evaluation shows commands that exist, with options that they have."""

import pytest
import typer.main

from tests.architecture.readme import Command, commands
from tests.architecture.tree import ROOT
from trimtab.cli.app import build

PAGE = ROOT / "docs" / "evaluation.md"
SHOWN = [command for command in commands(PAGE) if command.program == "trimtab"]


def test_the_page_shows_the_nightly_and_the_weekly_commands() -> None:
    assert [command.words[1:3] for command in SHOWN] == [
        ["eval", "run"],
        ["eval", "run"],
        ["index", "truth"],
        ["index", "verify"],
        ["eval", "run"],
        ["eval", "compare"],
    ]


@pytest.mark.parametrize("shown", SHOWN, ids=str)
def test_a_command_of_the_page_has_the_options_that_it_is_shown_with(shown: Command) -> None:
    group, name, *words = shown.words[1:]
    command = typer.main.get_command(build()).commands[group].commands[name]  # type: ignore[attr-defined]

    known = {option for each in command.params for option in each.opts}
    needed = {each.opts[0] for each in command.params if each.required}

    asked = {word for word in words if word.startswith("--")}
    assert needed <= asked <= known
