"""How far the fleet obeys a revision: acknowledgements and samples in, one status out. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from trimtab.contracts.control import Applied, ApplyStatus, Convergence
from trimtab.contracts.samples import Obedience, WorkerStatus

Status = Literal["propagating", "converged", "lagging", "rejected", "stale"]

LAGGING_AFTER_S = 5.0
"""A worker that has not obeyed by then is named as lagging; a re-read comes every 5 s."""


@dataclass
class Acknowledgements:
    """The last word of every worker on control changes."""

    _last: dict[str, Applied] = field(default_factory=dict)
    _obeyed: dict[str, Applied] = field(default_factory=dict)

    def add(self, applied: Applied) -> None:
        """Take an acknowledgement; one older than the worker's last is ignored."""
        last = self._last.get(applied.instance)
        if last is None or applied.at >= last.at:
            self._last[applied.instance] = applied
        obeyed = self._obeyed.get(applied.instance)
        newer = obeyed is None or applied.revision > obeyed.revision
        if newer and applied.status is ApplyStatus.APPLIED:
            self._obeyed[applied.instance] = applied

    def obeyed(self, instance: str) -> Applied | None:
        """Return how a worker first said that it obeys the newest revision that it ever obeyed."""
        return self._obeyed.get(instance)

    def of(self, instance: str) -> Applied | None:
        """Return a worker's last word."""
        return self._last.get(instance)


def convergence(
    revision: int,
    written_at: float,
    workers: Sequence[WorkerStatus],
    acknowledgements: Acknowledgements,
    now: float,
) -> Convergence:
    """Return how far the live workers obey ``revision``, written at ``written_at`` (unix seconds)."""
    words = {
        worker.instance: obedience(worker, acknowledgements.of(worker.instance), revision)
        for worker in workers
    }
    said = [word for word, _ in words.values()]
    lagging = [
        f"{instance}: {why}" for instance, (word, why) in words.items() if word != "converged"
    ]
    late = now - written_at > LAGGING_AFTER_S
    return Convergence(
        revision=revision,
        status=_status(lagging, rejected="rejected" in said, stale="stale" in said, late=late),
        applied=said.count("converged"),
        total=len(workers),
        lagging=lagging,
    )


def obedience(worker: WorkerStatus, word: Applied | None, revision: int) -> tuple[Obedience, str]:
    """Return how one worker stands to ``revision``, and why when it does not obey it."""
    obeyed = max(worker.revision, word.revision if word and _obeys(word) else 0)
    if worker.silent:
        return "silent", f"silent for {worker.age_s:.0f} s"
    if obeyed >= revision:
        return "converged", ""
    if word is not None and word.status is ApplyStatus.REJECTED and word.revision >= revision:
        return "rejected", f"rejected: {word.reason}"
    if worker.stale:
        return "stale", "hears no controller"
    return "lagging", f"obeys revision {obeyed}"


def _status(lagging: list[str], *, rejected: bool, stale: bool, late: bool) -> Status:
    if not lagging:
        return "converged"
    if rejected:
        return "rejected"
    if stale:
        return "stale"
    return "lagging" if late else "propagating"


def _obeys(word: Applied) -> bool:
    return word.status in (ApplyStatus.APPLIED, ApplyStatus.EXPIRED)
