"""What must be true of everything that is stored, checked at the moment in which the server takes it."""

from collections import Counter
from dataclasses import dataclass, field

from benchmarks.fleetsim.clock import EPOCH, Machine
from benchmarks.fleetsim.killbook import KillBook
from benchmarks.fleetsim.record import Record
from services.controller.analysis import Outcome, Verdict
from services.controller.policy import Policy
from services.controller.rollout import Event, Move
from trimtab.contracts import subjects
from trimtab.contracts.control import Canary, ControlState, KillLane, LeaseDocument, Phase
from trimtab.contracts.message import decode
from trimtab.contracts.samples import Sample
from trimtab.control.assignment import Role

MAX_SKEW_S = 2.0
"""A machine's time of day differs from the true one by at most this."""

ENDED = frozenset({Phase.PROMOTED, Phase.ROLLED_BACK, Phase.ABORTED})


@dataclass
class Documents:
    """Every state, lane and lease of one run."""

    record: Record
    policy: Policy
    bad_release: str
    """Fails a third of its requests; no controller may promote it."""
    kills: KillBook = field(default_factory=KillBook)
    states: dict[int, ControlState] = field(default_factory=dict)
    """By revision."""
    lanes: dict[int, KillLane] = field(default_factory=dict)
    """By revision."""
    lane_times: list[tuple[float, int]] = field(default_factory=list)
    """When each lane was stored, true time, and its revision."""
    state_at: float = 0.0
    """True time at which the newest state was stored."""
    _leaders: dict[int, str] = field(default_factory=dict)
    _newest_epoch: int = 0
    _told: dict[str, list[tuple[float, str, int]]] = field(default_factory=dict)
    _steps: Counter[tuple[str, int]] = field(default_factory=Counter)

    @property
    def newest(self) -> tuple[int, int]:
        """Revisions of the newest state and lane; 0 where there is none."""
        return max(self.states, default=0), max(self.lanes, default=0)

    @property
    def state(self) -> ControlState | None:
        """The newest state."""
        return self.states[max(self.states)] if self.states else None

    def lane_before(self, when: float) -> int:
        """Return the newest lane revision that was stored by a true time."""
        return max((revision for at, revision in self.lane_times if at <= when), default=0)

    def stored(self, bucket: str, key: str, revision: int, value: bytes) -> None:
        """Look at a value."""
        if bucket == subjects.LEASE_BUCKET:
            self._lease_stored(decode(LeaseDocument, value), revision)
        elif key == subjects.CONTROL_KEY:
            self._state_stored(decode(ControlState, value), revision)
        else:
            self._lane_stored(decode(KillLane, value), revision)

    def judged(self, machine: Machine, sample: Sample) -> None:
        """Take note of what a controller was told of a canary's requests."""
        told = self._told.setdefault(machine.name, [])
        for part in sample.endpoints:
            if part.role == Role.CANARY:
                count = sum(part.outcomes.values())
                told.append((sample.at - sample.interval_s, part.release, count))

    def moved(self, move: Move, verdict: Verdict) -> None:
        """Check a controller's move against the verdict that it names."""
        if move.event in (Event.STEP_PASSED, Event.LAST_STEP_PASSED):
            self.record.hold(
                "no promotion without evidence",
                verdict.outcome is Outcome.PASS,
                lambda: f"{move.event.value} on {verdict.outcome.value}: {verdict.reason}",
            )

    def _lease_stored(self, lease: LeaseDocument, revision: int) -> None:
        if lease.epoch == 0:
            self._leaders[revision] = lease.instance
            self.record.say(f"lease {revision} taken by {lease.instance}")

    def _state_stored(self, state: ControlState, revision: int) -> None:
        before, canary = self.state, state.canary
        self.states[revision], self.state_at = state, self.record.now()
        self.record.say(
            f"state {revision} by {state.actor} epoch {state.epoch}: stable {state.stable}, "
            + (f"{canary.release} {canary.weight_bp} bp {canary.phase.value}" if canary else "-")
        )
        self._fence(state, revision)
        if before is None or before.canary is None or canary is None:
            return
        was = before.canary
        if canary.salt == was.salt:
            self._same_ramp(was, canary)
        if state.epoch:
            self.record.hold(
                "what a person paused stays",
                was.phase is not Phase.PAUSED or canary.weight_bp <= was.weight_bp,
                lambda: f"a paused {was.release} went to {canary.weight_bp} bp",
            )
            self._moved_by_controller(state, was, canary)

    def _fence(self, state: ControlState, revision: int) -> None:
        epoch, newest = state.epoch, self._newest_epoch
        if not epoch and state.actor != "controller":
            return
        self.record.hold(
            "a fenced write changes nothing",
            epoch >= max(1, newest),
            lambda: f"state {revision} under epoch {epoch} after one under {newest}",
        )
        self._newest_epoch = max(newest, epoch)

    def _same_ramp(self, was: Canary, canary: Canary) -> None:
        self.record.hold(
            "an end is an end",
            was.phase not in ENDED or canary.phase is was.phase,
            lambda: f"{was.release} went from {was.phase} to {canary.phase}",
        )
        self.record.hold(
            "each step once, in order",
            canary.step in (was.step, was.step + 1),
            lambda: f"{was.release} went from step {was.step} to {canary.step}",
        )

    def _moved_by_controller(self, state: ControlState, was: Canary, canary: Canary) -> None:
        if canary.phase is Phase.ROLLED_BACK and was.phase is not Phase.ROLLED_BACK:
            self.record.outcomes["canaries rolled back by a controller"] += 1
        promoted = canary.phase is Phase.PROMOTED and was.phase is not Phase.PROMOTED
        if promoted or canary.step != was.step:
            self._evidence(state, was, promoted=promoted)

    def _evidence(self, state: ControlState, was: Canary, *, promoted: bool) -> None:
        leader = self._leaders.get(state.epoch, "?")
        step = self.policy.steps[was.step]
        seen = sum(
            requests
            for began, release, requests in self._told.get(leader, [])
            if release == was.release and began >= was.step_since
        )
        last = was.step == len(self.policy.steps) - 1
        self.record.hold(
            "no promotion without evidence",
            was.step_since > 0
            and seen >= step.min_requests
            and (not promoted or (last and was.phase is Phase.RUNNING)),
            lambda: (
                f"{leader} left step {was.step}, {was.phase}, with {seen} of {step.min_requests} "
                "requests"
            ),
        )
        if promoted:
            self.record.outcomes["canaries promoted by a controller"] += 1
            self.record.hold(
                "a bad canary is never promoted",
                was.release != self.bad_release,
                lambda: f"{leader} promoted {was.release}",
            )

    def _lane_stored(self, lane: KillLane, revision: int) -> None:
        self.lanes[revision] = lane
        self.lane_times.append((self.record.now(), revision))
        named = ", ".join(f"{kill.switch}={kill.value}" for kill in lane.kills)
        self.record.say(f"lane {revision}: {named or '-'}")
        latest = EPOCH + self.record.now() + MAX_SKEW_S
        for killed, right in self.kills.stored(lane, revision, latest):
            lost = killed.kill
            self.record.hold(
                "kill always wins",
                right,
                lambda lost=lost: f"lane {revision} lost {lost.switch}={lost.value}",  # type: ignore[misc]
            )
