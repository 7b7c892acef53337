"""The releases as `trimtab status` draws them: who serves how much, how the ramp goes, on what evidence. Pure."""

from rich.markup import escape
from rich.text import Text
from rich.tree import Tree

from trimtab.contracts.control import Phase
from trimtab.contracts.samples import GuardrailStatus, ReleaseStatus, RolloutStatus, StatusReply

_ROLES = {"stable": "green", "canary": "yellow", "previous": "dim"}
_PHASES = {
    Phase.RUNNING: "cyan",
    Phase.PAUSED: "magenta",
    Phase.HOLDING: "yellow",
    Phase.PROMOTED: "green",
    Phase.ROLLED_BACK: "red",
    Phase.ABORTED: "red",
}
_VERDICTS = {"pass": "green", "fail": "red", "inconclusive": "cyan", "error": "yellow"}


def releases(status: StatusReply) -> Tree:
    """Return the tree: the deployment, its releases, and below the ramped one its step and evidence."""
    root = Tree(Text("deployment", style="bold"), guide_style="dim")
    for release in status.releases:
        node = root.add(_title(release))
        node.add(_line(release.components))
        if release.role == "canary" and status.rollout is not None:
            _ramp(node, status.rollout)
    ended = status.rollout is not None and all(r.role != "canary" for r in status.releases)
    if ended and status.rollout is not None:
        _ramp(root.add(Text(f"last ramp: {status.rollout.release}", style="bold")), status.rollout)
    return root


def _title(release: ReleaseStatus) -> Text:
    line = Text(release.name, style="bold")
    line.append(f"  {release.role}", style=_ROLES[release.role])
    line.append("" if release.role == "previous" else f"  {release.weight_bp / 100:g} %")
    line.append(f"  {release.hash}", style="dim")
    return line


def _line(components: dict[str, str]) -> Text:
    return Text("  ".join(f"{stage} {name}" for stage, name in components.items()), style="dim")


def _ramp(node: Tree, ramp: RolloutStatus) -> None:
    line = Text(ramp.phase.value.replace("_", " "), style=_PHASES[ramp.phase])
    if ramp.steps:
        line.append(f"  step {ramp.step}/{ramp.steps}", style="default")
        line.append(f"  {_clock(ramp)}  policy {ramp.policy}", style="dim")
    else:
        line.append("  weight set by hand", style="dim")
    step = node.add(line)
    if ramp.cause:
        step.add(Text(f"because {ramp.cause}", style="dim"))
    if ramp.verdict:
        verdict = step.add(_judged(ramp.verdict, "verdict ", _VERDICTS[ramp.verdict]))
        if not ramp.guardrails:
            verdict.add(Text(ramp.reason))
        for guardrail in ramp.guardrails:
            verdict.add(_guardrail(guardrail))


def _judged(outcome: str, before: str, style: str) -> Text:
    return Text.from_markup(f"{before}[{style}]{escape(outcome)}[/]")


def _guardrail(guardrail: GuardrailStatus) -> Text:
    line = _judged(guardrail.outcome, "", _VERDICTS[guardrail.outcome])
    line.append(f"  {guardrail.reason}", style="default")
    told = f"  ({guardrail.severity}, evidence {guardrail.evidence:.3g}"
    told += f" of {guardrail.rejects_at:.0f})" if guardrail.rejects_at else ")"
    line.append(told, style="dim")
    return line


def _clock(ramp: RolloutStatus) -> str:
    if ramp.phase in (Phase.PROMOTED, Phase.ROLLED_BACK, Phase.ABORTED):
        return f"{ramp.weight_bp / 100:g} %"
    if not ramp.on_step_s:
        return "waiting for the fleet"
    return f"{span(ramp.on_step_s)} of {span(ramp.hold_s)}"


def span(seconds: float) -> str:
    """Return a time in its largest unit: ``42 s``, ``3 m``, ``6 h``, ``2 d``."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
