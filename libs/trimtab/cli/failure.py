"""Errors as people read them: what was wrong, what to do, one exit code; a traceback only for our own faults."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec

import typer

from trimtab.cli.exitcode import ExitCode
from trimtab.cli.output import print_json, stderr
from trimtab.contracts.errors import BusUnavailable, NoWorkers, TrimtabError

P = ParamSpec("P")


class Failure(Exception):
    """An expected error of a command."""

    def __init__(
        self, problem: str, remedy: str, code: ExitCode = ExitCode.FAILED, error: str = "Failure"
    ) -> None:
        super().__init__(problem)
        self.problem, self.remedy, self.code, self.error = problem, remedy, code, error
        self.result: dict[str, Any] = {}
        """What was found before it, for scripts: it stands beside the error in the one JSON value."""


def of(error: TrimtabError) -> Failure:
    """Return what a user reads of an error of the pipeline; its detail already says what to do."""
    unreachable = isinstance(error, BusUnavailable | NoWorkers)
    code = ExitCode.UNREACHABLE if unreachable else ExitCode.FAILED
    problem, _, remedy = error.detail.partition("; ")
    if not remedy:
        remedy = "see `trimtab status`, or `trimtab doctor` for the whole deployment"
    return Failure(problem, remedy, code, error.reply().error)


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Wrap a command: expected errors are printed and become its exit code.

    With ``--json`` the same stands on stdout as ``{"error": {"name", "problem", "remedy"}}``.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except TrimtabError as error:
            raise _shown(of(error), kwargs) from None
        except Failure as failure:
            raise _shown(failure, kwargs) from None

    return run


def _shown(failure: Failure, arguments: dict[str, Any]) -> typer.Exit:
    if arguments.get("as_json"):
        error = {"name": failure.error, "problem": failure.problem, "remedy": failure.remedy}
        print_json({**failure.result, "error": error})
    console = stderr()
    console.print(f"error: {failure.problem}", style="red", markup=False, soft_wrap=True)
    console.print(f"try: {failure.remedy}", markup=False, soft_wrap=True)
    return typer.Exit(failure.code)
