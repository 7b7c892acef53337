"""The one idempotent apply: three paths lead into it, any one is enough. Pure.

A revision already seen changes nothing, an older one neither, and a state written under an older
lease than the newest one heard of is refused: its controller was fenced out.
"""

from dataclasses import dataclass, replace

from trimtab.control.effective import Controls


@dataclass(frozen=True, slots=True)
class View:
    """What a worker knows of the control plane."""

    controls: Controls | None = None
    """In force; None before the first."""
    epoch: int = 0
    """Greatest lease epoch heard of."""

    @property
    def revision(self) -> int:
        """Newest revision obeyed."""
        return self.controls.revision if self.controls else 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why controls were not taken."""

    revision: int
    """Of what was refused."""
    why: str
    """For the acknowledgement."""


def heard(view: View, epoch: int) -> View:
    """Return the view after hearing of a lease epoch."""
    return replace(view, epoch=max(view.epoch, epoch))


def merge(view: View, offered: Controls) -> tuple[View, Refusal | None]:
    """Return the view after controls were offered; each document is taken when it is newer.

    The same view comes back when nothing is newer, so ``is`` tells whether anything changed.
    """
    known = view.controls
    if known is None:
        return replace(view, controls=offered, epoch=max(view.epoch, offered.state.epoch)), None
    newer_lane = offered.lane_revision > known.lane_revision
    newer_state = offered.state_revision > known.state_revision
    fenced = newer_state and 0 < offered.state.epoch < view.epoch
    refusal = None
    if fenced:
        refusal = Refusal(
            offered.state_revision,
            f"written under lease epoch {offered.state.epoch}, the newest is {view.epoch}",
        )
    take_state = newer_state and not fenced
    if not (newer_lane or take_state):
        return view, refusal
    merged = Controls(
        offered.state if take_state else known.state,
        offered.state_revision if take_state else known.state_revision,
        offered.lane if newer_lane else known.lane,
        offered.lane_revision if newer_lane else known.lane_revision,
    )
    return replace(view, controls=merged, epoch=max(view.epoch, merged.state.epoch)), refusal
