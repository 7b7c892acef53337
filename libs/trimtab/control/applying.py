"""The one idempotent apply: three paths lead into it, any one is enough. Pure.

A revision already seen changes nothing, an older one neither, and a state written under an older
lease than the newest one heard of is refused: its controller was fenced out. The kill lane waits for
nothing: not for a state that is being prepared, nor for one that was refused.
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
    offered: int = 0
    """Newest state revision heard of; above the one in force while that is prepared, or was refused."""

    @property
    def revision(self) -> int:
        """Newest revision up to which everything is obeyed, whatever kill came after it."""
        if self.controls is None:
            return 0
        if self.offered > self.controls.state_revision:
            return min(self.controls.revision, self.offered - 1)
        return self.controls.revision


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


def with_lane(view: View, offered: Controls) -> View:
    """Return the view with the offered kill lane when it is newer; it needs no preparation.

    Before the first state there is nothing that a kill could change, and the view stays.
    """
    known = view.controls
    if known is None:
        return view
    view = replace(view, offered=max(view.offered, offered.state_revision))
    if offered.lane_revision <= known.lane_revision:
        return view
    lane = replace(known, lane=offered.lane, lane_revision=offered.lane_revision)
    return replace(view, controls=lane)


def merge(view: View, offered: Controls) -> tuple[View, Refusal | None]:
    """Return the view after controls were offered; each document is taken when it is newer.

    The same view comes back when nothing is newer, so ``is`` tells whether anything changed.
    """
    known = view.controls
    if known is None:
        epoch = max(view.epoch, offered.state.epoch)
        return replace(view, controls=offered, epoch=epoch, offered=offered.state_revision), None
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
