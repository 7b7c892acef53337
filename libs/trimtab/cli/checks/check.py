"""One finding of `trimtab doctor`."""

from enum import StrEnum

import msgspec


class Outcome(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """What was looked at, what was found, and what to do about it."""

    name: str
    """What was looked at."""
    outcome: Outcome
    """Only ``failed`` makes the exit code 1."""
    found: str
    """What was found."""
    remedy: str = ""
    """What to do; empty when there is nothing to do."""


def ok(name: str, found: str) -> Check:
    """Return a check that passed."""
    return Check(name=name, outcome=Outcome.OK, found=found)


def warning(name: str, found: str, remedy: str) -> Check:
    """Return a check that passed with a reservation."""
    return Check(name=name, outcome=Outcome.WARNING, found=found, remedy=remedy)


def failed(name: str, found: str, remedy: str) -> Check:
    """Return a check that failed."""
    return Check(name=name, outcome=Outcome.FAILED, found=found, remedy=remedy)


def skipped(name: str, found: str) -> Check:
    """Return a check that made no sense."""
    return Check(name=name, outcome=Outcome.SKIPPED, found=found)
