"""An incident as one page of Markdown: facts filled in, judgement left to a person. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from trimtab.audit.incident import Incident
from trimtab.audit.timeline import Event
from trimtab.cli.incident.markdown import UNKNOWN, between, clock, plain, section, table
from trimtab.cli.incident.measured import measured
from trimtab.cli.incident.snapshot import Snapshot

_SHOWN = 10
"""Request ids that are listed."""

_PAGE_AFTER_S = 1800.0
"""An incident that lasts longer is the secondary on-call's too (runbook 2)."""


@dataclass(frozen=True, slots=True)
class Heading:
    """What stands above everything."""

    title: str
    author: str
    start: float
    """Unix seconds: begin of the window that was read."""
    end: float
    metrics: str
    """Name of the file with the figures."""


def page(found: Incident, snapshot: Snapshot, heading: Heading) -> str:
    """Return the whole page."""
    parts = [
        _head(found, snapshot, heading),
        section("Impact", _impact(found, snapshot)),
        section("Timeline (UTC)", _timeline(found, snapshot)),
        section("Releases", _releases(found)),
        section("Times", _times(found, snapshot)),
        section("Actions taken", _actions(found)),
        section("Metrics", measured(snapshot, heading.metrics)),
        section("Review", _review(found, snapshot)),
        *(section(title, _blank(hint)) for title, hint in _FOR_PEOPLE),
    ]
    return "\n\n".join(parts) + "\n"


_FOR_PEOPLE = (
    ("Root cause", "why it happened, and why nothing held it back"),
    ("What went well", "what to keep"),
    ("What went badly", "what to change"),
    ("Communication", "who was told, when"),
    ("Follow-ups", "what, who, until when"),
)


def summary(found: Incident) -> str:
    """Return the incident in one line, from what is recorded."""
    if found.act is None:
        alarms = ", ".join(name.removeprefix("trigger:") for name in found.open_alarms)
        return f"{alarms} fired and is not over" if alarms else "nothing was taken back"
    by, at = found.act.entry.actor, clock(found.act.entry.at)
    if found.faulting:
        return f"release {found.faulting} was taken back by {by} at {at}; {found.replaced_by or 'an earlier one'} serves"
    return f"{'; '.join(found.act.entry.diff)}: switched by {by} at {at}"


def _head(found: Incident, snapshot: Snapshot, heading: Heading) -> str:
    state = "An alarm is not over." if found.open_alarms else ""
    lines = [
        f"# {plain(heading.title)}",
        plain(summary(found)) + ". " + state,
        f"Written {clock(snapshot.at)} by {plain(heading.author)} from the audit between "
        f"{clock(heading.start)} and {clock(heading.end)} (UTC).",
    ]
    return "\n\n".join(line.strip() for line in lines)


def _blank(hint: str) -> list[str]:
    return [f"<!-- {hint} -->", "", "- "]


def _impact(found: Incident, snapshot: Snapshot) -> Iterator[str]:
    times = found.times
    yield f"- Lasted: {between(times.began, times.recovered)} from the first bad event to the recovery."
    if found.faulting:
        share = (
            f"up to {found.share_bp / 100:g} %" if found.share_bp else "a share not in the audit"
        )
        yield f"- Requests: {share} went to {plain(found.faulting)}."
        ids = ", ".join(f"`{plain(answer.request_id)}`" for answer in found.answers[-_SHOWN:])
        yield f"- Kept explanations of its answers: {len(found.answers)}" + (
            f"; {ids}" if ids else ""
        )
    for event in found.events:
        if event.entry.outcome == "fired":
            measured = plain(", ".join(event.entry.evidence))
            yield f"- {plain(event.entry.actor)}: {plain(event.entry.reason)}; measured {measured}."
    if found.act is not None:
        yield from (f"- Evidence: {plain(line)}" for line in found.act.entry.evidence)
    told = [
        (row.requests, row.errors)
        for row in snapshot.workers
        if row.service == "gateway" and row.requests is not None and row.errors is not None
    ]
    if told:
        requests, errors = (sum(counts) for counts in zip(*told, strict=True))
        yield f"- In the minute before this was written: {requests} requests, {errors} with an error."
    yield "- Users, customers, money: "


def _timeline(found: Incident, snapshot: Snapshot) -> list[str]:
    rows = [(event.entry.at, _row(event)) for event in _told(found)]
    times = found.times
    seen = (
        (
            times.began,
            "first bad event, by the duration of the alarm's condition or the first requests",
        ),
        (times.acknowledged, "the last worker obeys"),
        (
            times.good,
            f"first kept answer of {plain(found.replaced_by or snapshot.release)} afterwards",
        ),
    )
    rows += [(at, [clock(at), "", what, "", "", ""]) for at, what in seen if at is not None]
    ordered = [row for _, row in sorted(rows, key=lambda pair: pair[0])]
    return table(("time", "who", "what", "why, measured", "revision", "entry"), ordered)


def _told(found: Incident) -> list[Event]:
    first = found.brought_in
    earlier = [first] if first is not None and first not in found.events else []
    return [*earlier, *found.events]


def _row(event: Event) -> list[str]:
    entry = event.entry
    why = "; ".join(filter(None, [entry.reason, *entry.evidence]))
    what = f"{plain(entry.action)}: {entry.outcome}"
    return [
        clock(entry.at),
        plain(entry.actor),
        f"**{what}**" if event.taken else what,
        plain(why),
        str(entry.revision),
        str(entry.number),
    ]


def _releases(found: Incident) -> Iterator[str]:
    yield f"- Faulting: {plain(found.faulting) or 'no release was taken back'}"
    if found.brought_in is not None:
        entry = found.brought_in.entry
        who = f"{plain(entry.actor)} ({plain(entry.action)}, entry {entry.number})"
        yield f"- Brought in: {clock(entry.at)} by {who}"
    elif found.faulting:
        yield "- Brought in: before the audit begins"
    if found.faulting:
        yield f"- Replaced by: {plain(found.replaced_by) or UNKNOWN}"
        yield f"- What differs: `trimtab release diff {plain(found.replaced_by or 'BEFORE')} {plain(found.faulting)}`"


def _times(found: Incident, snapshot: Snapshot) -> list[str]:
    times = found.times
    took = (
        None
        if times.detected is None or times.recovered is None
        else times.recovered - times.detected
    )
    rows = [
        (
            "to detect",
            between(times.began, times.detected),
            "first bad event to alarm, verdict or command",
        ),
        (
            "to roll back",
            between(times.detected, times.acted),
            "from there to the rollback, or the switch",
        ),
        (
            "to obey",
            between(times.acted, times.acknowledged),
            "from there to the last worker's acknowledgement",
        ),
        (
            "to recover",
            between(times.detected, times.recovered),
            "from the detection until obeyed, answered well and no alarm",
        ),
    ]
    lines = table(("time", "took", "what"), rows)
    if found.target_s is not None and took is not None:
        word = "kept" if took <= found.target_s else "missed"
        lines += ["", f"Target {found.target_s / 60:g} minutes: {word} (runbook 4)."]
    if found.open_alarms:
        lines += ["", f"Not over: {plain(', '.join(found.open_alarms))}."]
    lasted = (times.recovered or snapshot.at) - times.began if times.began is not None else 0.0
    if lasted > _PAGE_AFTER_S:
        lines += ["", "Longer than 30 minutes: the secondary on-call is to be paged (runbook 2)."]
    return lines


def _actions(found: Incident) -> list[str]:
    rows = [
        (
            clock(event.entry.at),
            plain(event.entry.action),
            plain(event.entry.actor),
            plain(event.entry.via),
            f"`{plain(event.entry.operation)}`" if event.entry.operation else "",
        )
        for event in found.events
        if event.entry.outcome in ("written", "forced", "moved")
    ]
    return table(("time", "command", "who", "via", "command id"), rows) if rows else ["None."]


def _review(found: Incident, snapshot: Snapshot) -> Iterator[str]:
    due = found.review_due
    late = due is not None and due < snapshot.at
    yield f"- Until: {clock(due)}{', which is past' if late else ''} (two hours after the rollback, runbook 4)"
    changed = [found.brought_in] if found.brought_in is not None else []
    yield f"- Brought the release in: {_people(changed)}"
    acted = [event for event in found.events if event.kind.value in ("taken back", "switched")]
    yield f"- Acted: {_people(acted)}"
    yield "- Somebody who did neither: "
    yield "- Reviewed at, by: "


def _people(events: Iterable[Event]) -> str:
    names = dict.fromkeys(plain(event.entry.actor) for event in events if not event.automatic)
    return ", ".join(names) or "no person"
