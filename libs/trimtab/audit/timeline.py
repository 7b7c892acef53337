"""What the audit says happened: every entry as an event, with what served before and after it. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import msgspec

from trimtab.contracts.audit import AuditEntry
from trimtab.contracts.control import ACTIVE_PHASES, Phase

_LINE = re.compile(r"^(?P<path>[a-z_.]+)(?:: (?P<before>.*?))? -> (?P<after>.*)\Z", re.DOTALL)
_BAN = re.compile(r"^\+ release=(\S+) for ")
_DONE = frozenset({"written", "forced"})
_VERDICTS = frozenset({"rollout:critical_failed", "rollout:held_too_long"})
_WARNINGS = frozenset(
    {"rollout:signal_failed", "rollout:not_judgeable", "rollout:guardrail_answered"}
)
_COMMANDS = {"roll_back", "abort", "kill", "start_canary", "set_weight", "promote", "resume"}


class Kind(StrEnum):
    """What an event means to an incident."""

    CHANGE = "change"
    ALARM = "alarm"
    TAKEN_BACK = "taken back"
    SWITCHED = "switched"
    CLEARED = "cleared"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Serving:
    """Which releases got requests."""

    stable: str
    """Empty where the audit does not tell."""
    canary: str = ""
    """Being ramped, or the last one that was; empty before the first."""
    ramping: bool = False
    """Whether the canary gets requests."""
    weight_bp: int = 0
    """Share of the canary in basis points, as far as commands and verdicts name one: 0 may be a first step."""

    def holds(self, release: str) -> bool:
        """Whether the release was one of them."""
        return bool(release) and (
            release == self.stable or (self.ramping and release == self.canary)
        )


@dataclass(frozen=True, slots=True)
class Event:
    """One entry, read."""

    entry: AuditEntry
    kind: Kind
    before: Serving
    after: Serving

    @property
    def automatic(self) -> bool:
        """Whether no person asked for it."""
        return self.entry.actor == "controller" or self.entry.actor.startswith("trigger:")

    @property
    def taken(self) -> str:
        """Release that it took away from requests; empty when it took none."""
        if self.kind is Kind.SWITCHED:
            bans = (_BAN.match(line) for line in self.entry.diff)
            return next((ban[1] for ban in bans if ban), "")
        if self.kind is not Kind.TAKEN_BACK:
            return ""
        replaced = self.before.stable != self.after.stable
        return self.before.stable if replaced else self.before.canary

    def concerns(self, release: str) -> bool:
        """Whether the release got requests before or after it, or was banned by it."""
        return release == self.taken or self.before.holds(release) or self.after.holds(release)


def read(entries: Sequence[AuditEntry], stable_now: str) -> list[Event]:
    """Return every entry as an event, oldest first; ``entries`` begin with the audit's first.

    ``stable_now`` served from the beginning when no entry says otherwise.
    """
    serving = Serving(_first_stable(entries, stable_now))
    events = []
    for entry in entries:
        after = _after(serving, entry)
        events.append(Event(entry, _kind(entry), serving, after))
        serving = after
    return events


def _kind(entry: AuditEntry) -> Kind:
    if entry.outcome in ("fired", "cleared"):
        return Kind.ALARM if entry.outcome == "fired" else Kind.CLEARED
    if entry.outcome == "moved":
        if entry.action in _VERDICTS:
            return Kind.TAKEN_BACK
        return Kind.ALARM if entry.action in _WARNINGS else Kind.CHANGE
    if entry.outcome not in _DONE or entry.action not in _COMMANDS:
        return Kind.OTHER
    if entry.action in ("roll_back", "abort"):
        return Kind.TAKEN_BACK
    return Kind.SWITCHED if entry.action == "kill" else Kind.CHANGE


def _after(serving: Serving, entry: AuditEntry) -> Serving:
    if entry.outcome not in _DONE and entry.outcome != "moved":
        return serving
    for line in entry.diff:
        match = _LINE.match(line)
        if match is not None:
            serving = _changed(serving, match["path"].removeprefix("canary."), match["after"])
    return serving


def _changed(serving: Serving, path: str, text: str) -> Serving:
    value = _value(text)
    match path, value:
        case "stable", str():
            return replace(serving, stable=value)
        case "canary", {"release": str(name), "weight_bp": int(weight)}:
            return replace(serving, canary=name, weight_bp=weight, ramping=True)
        case "release", str():
            return replace(serving, canary=value)
        case "weight_bp", int():
            return replace(serving, weight_bp=value)
        case "phase", str():
            return _in_phase(serving, value)
        case _:
            return serving


def _in_phase(serving: Serving, phase: str) -> Serving:
    if phase in ACTIVE_PHASES:
        return replace(serving, ramping=True)
    stable = serving.canary if phase == Phase.PROMOTED and serving.canary else serving.stable
    return replace(serving, stable=stable, ramping=False, weight_bp=0)


def _first_stable(entries: Sequence[AuditEntry], stable_now: str) -> str:
    """Return what served before the first entry; empty where a canary was promoted before anything tells."""
    for entry in entries:
        if entry.outcome in _DONE:
            for line in entry.diff:
                match = _LINE.match(line)
                if match is not None and match["path"] == "stable":
                    return str(_value(match["before"] or ""))
        elif entry.action == "rollout:last_step_passed":
            return ""
    return stable_now


def _value(text: str) -> Any:
    """Return a value as the audit shows it: JSON, or a bare word."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
