"""An incident, read from the audit: what failed, what replaced it, and how long each part took. Pure.

A time that nothing recorded is None, never a guess; what a person must add is left to a person.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from trimtab.audit.timeline import Event, Kind, read
from trimtab.contracts.audit import AuditEntry

WRITTEN = "incident:write"
"""Action of the entry that says that an incident was documented."""

REVIEW_WITHIN_S = 2 * 3600.0
"""The review follows the rollback within two hours (runbook 4)."""

TARGETS_S = {"canary": 300.0, "release": 900.0}
"""Longest recovery of a canary, and of a release that served everything (runbook 4)."""

_DURATION = re.compile(r" for (\d+) (second|minute|hour)s?\Z")
_SPANS = {"second": 1.0, "minute": 60.0, "hour": 3600.0}
_SILENT = frozenset({"dry_run", "unchanged"})
_ALARMS = frozenset({"fired", "cleared"})


@dataclass(frozen=True, slots=True)
class Answered:
    """One search of which the explanation was kept."""

    request_id: str
    at: float
    """Unix seconds."""
    release: str
    """That served it."""
    revision: int
    """That was obeyed."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A worker's word that it obeys."""

    revision: int
    """Newest that it said it obeys; 0: it was not heard."""
    at: float
    """Unix seconds."""
    started_at: float
    """Unix seconds of the worker's start."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What is known beside the audit."""

    stable: str
    """Release in force now."""
    acknowledged: Sequence[Acknowledged] = ()
    """One of each live worker that obeys control revisions."""
    answered: Sequence[Answered] = ()
    """Kept explanations, oldest first."""


@dataclass(frozen=True, slots=True)
class Times:
    """When it was what, unix seconds; None where nothing recorded it."""

    began: float | None
    """First bad event: an alarm's condition began to hold, else the release got its first requests."""
    detected: float | None
    """First alarm, verdict or command that answered it."""
    acted: float | None
    """The audit had it that the release was taken back, or a switch thrown: milliseconds after the fleet was told."""
    acknowledged: float | None
    """Last worker said that it obeys that."""
    good: float | None
    """First kept answer afterwards of what replaced it."""
    cleared: float | None
    """Last alarm that had fired was over."""
    recovered: float | None
    """The last of these that are known; None while an alarm lasts, and where none is."""


@dataclass(frozen=True, slots=True)
class Incident:
    """What a post-mortem begins with."""

    events: tuple[Event, ...]
    """Of the window, oldest first; dry runs and what changed nothing are left out."""
    brought_in: Event | None
    """How the faulting release got its first requests; may lie before the window."""
    act: Event | None
    """What ended it."""
    faulting: str
    """Release that was taken back or banned; empty when none was."""
    replaced_by: str
    """Stable release afterwards; empty when none was taken back."""
    share_bp: int
    """Most of the requests that it got, in basis points, as far as the audit names shares; 0: it names none."""
    open_alarms: tuple[str, ...]
    """Alarms that fired and are not over."""
    answers: tuple[Answered, ...]
    """Kept searches that the faulting release answered."""
    times: Times

    @property
    def review_due(self) -> float | None:
        """Unix seconds by which it is to be reviewed; None when nothing was done yet."""
        return None if self.times.acted is None else self.times.acted + REVIEW_WITHIN_S

    @property
    def target_s(self) -> float | None:
        """Longest time that the recovery should have taken; None when no release was taken back."""
        if self.act is None or not self.faulting:
            return None
        return TARGETS_S["release" if self.act.before.stable == self.faulting else "canary"]


def incident(
    entries: Sequence[AuditEntry], start: float, end: float, observed: Observed, release: str = ""
) -> Incident:
    """Return the incident between ``start`` and ``end``, unix seconds.

    ``entries`` are the whole audit. The newest release that was taken back is the faulting one, unless
    ``release`` names another; without any, the first switch thrown is what ended it.
    """
    every = [event for event in read(entries, observed.stable) if _counts(event)]
    events = [event for event in every if start <= event.entry.at <= end]
    act = _act(events, release)
    faulting = release or (act.taken if act else "")
    stretch = _stretch(every, faulting, act)
    answers = [a for a in observed.answered if faulting and a.release == faulting]
    alarms = [event for event in events if event.kind is Kind.ALARM and _by(event, act)]
    return Incident(
        events=tuple(events),
        brought_in=stretch[0] if stretch else None,
        act=act,
        faulting=faulting,
        replaced_by=act.after.stable if act and act.taken else "",
        share_bp=max((_share(event, faulting) for event in stretch), default=0),
        open_alarms=_open(events),
        answers=tuple(answers),
        times=_times(stretch, alarms, act, events, observed),
    )


def _counts(event: Event) -> bool:
    return event.entry.outcome not in _SILENT and event.entry.action != WRITTEN


def _act(events: Sequence[Event], release: str) -> Event | None:
    taken = [event for event in events if event.taken and release in ("", event.taken)]
    if taken:
        return taken[-1]
    return next((event for event in events if event.kind is Kind.SWITCHED), None)


def _stretch(every: Sequence[Event], release: str, act: Event | None) -> list[Event]:
    """Return the events through which the release kept getting requests, the one that brought it in first."""
    found: list[Event] = []
    for event in reversed(every):
        if act is not None and event.entry.number >= act.entry.number:
            continue
        if not event.after.holds(release):
            if found:
                break
            continue
        found.insert(0, event)
        if not event.before.holds(release):
            break
    return found if found and not found[0].before.holds(release) else []


def _share(event: Event, release: str) -> int:
    return 10_000 if event.after.stable == release else event.after.weight_bp


def _by(event: Event, act: Event | None) -> bool:
    return act is None or event.entry.number <= act.entry.number


def _open(events: Sequence[Event]) -> tuple[str, ...]:
    """Return the triggers whose last word is that they fired."""
    last = {e.entry.actor: e.entry.outcome for e in events if e.entry.outcome in _ALARMS}
    return tuple(actor for actor, outcome in last.items() if outcome == "fired")


def _began(stretch: Sequence[Event], alarms: Sequence[Event]) -> float | None:
    onsets = [_onset(alarm) for alarm in alarms if alarm.entry.outcome == "fired"]
    first = [event.entry.at for event in (stretch or alarms)[:1]]
    return min(onsets or first, default=None)


def _onset(alarm: Event) -> float:
    """Return when an alarm's condition began to hold: it fires once it did so for its whole duration."""
    match = _DURATION.search(alarm.entry.reason)
    return alarm.entry.at - (float(match[1]) * _SPANS[match[2]] if match else 0.0)


def _times(
    stretch: Sequence[Event],
    alarms: Sequence[Event],
    act: Event | None,
    events: Sequence[Event],
    observed: Observed,
) -> Times:
    answers = [event.entry.at for event in [*alarms, *([act] if act else [])]]
    lasting = _open(events)
    over = [event.entry.at for event in events if event.kind is Kind.CLEARED]
    cleared = None if lasting else max(over, default=None)
    acknowledged = _acknowledged(act, observed)
    good = _good(act, observed)
    known = [at for at in (acknowledged, good, cleared) if at is not None]
    return Times(
        began=_began(stretch, alarms),
        detected=min(answers, default=None),
        acted=act.entry.at if act else None,
        acknowledged=acknowledged,
        good=good,
        cleared=cleared,
        recovered=max(act.entry.at, *known) if known and act and not lasting else None,
    )


def _acknowledged(act: Event | None, observed: Observed) -> float | None:
    """Return when the last of those who were there obeyed; None when a word is missing, or of a later change."""
    if act is None:
        return None
    said = [word for word in observed.acknowledged if word.started_at <= act.entry.at]
    if any(word.revision != act.entry.revision for word in said):
        return None
    return max((word.at for word in said), default=None)


def _good(act: Event | None, observed: Observed) -> float | None:
    if act is None:
        return None
    return next(
        (
            answer.at
            for answer in observed.answered
            if answer.release == act.after.stable and answer.revision >= act.entry.revision
        ),
        None,
    )
