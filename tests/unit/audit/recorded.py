"""An audit as a deployment writes it: real commands on real documents, alarms and verdicts in the controller's words."""

from dataclasses import dataclass, field

from tests.unit.control.documents import state
from trimtab.contracts.audit import GENESIS, AuditEntry, AuditOutcome
from trimtab.contracts.control import ControlState, KillLane
from trimtab.contracts.orders import Command, KillCommand, RestoreCommand
from trimtab.control.commands import (
    By,
    change_lane,
    change_state,
    document_difference,
    lane_difference,
    promoted,
    rolled_back,
)

CONDITION = "map_error_rate > 1% for 10 minutes"


@dataclass
class Record:
    """A deployment on the release ``base`` that knows ``next``, and its audit."""

    state: ControlState = field(default_factory=lambda: state("base", "next"))
    lane: KillLane = field(default_factory=lambda: KillLane(operation="op", kills=[]))
    entries: list[AuditEntry] = field(default_factory=list)

    def order(
        self,
        at: float,
        command: Command,
        *,
        actor: str = "ana",
        outcome: AuditOutcome = "written",
        reason: str = "",
    ) -> AuditEntry:
        """Carry out a command; one that was refused or a dry run changes nothing."""
        by, old, lane = By(actor, reason, at), self.state, self.lane
        done = outcome in ("written", "forced")
        if isinstance(command, KillCommand | RestoreCommand):
            self.lane = change_lane(lane, command, by) if done else lane
            diff = lane_difference(lane, self.lane)
        else:
            self.state = change_state(old, command, by) if done else old
            diff = document_difference(old, self.state)
        return self.add(at, actor, type(command).__struct_config__.tag, outcome, reason, diff)

    def fired(self, at: float, name: str = "Mapper5xxHigh") -> AuditEntry:
        """Let an alarm fire whose condition must hold for ten minutes."""
        measured = ["map_error_rate = 0.31"]
        actor = f"trigger:{name}"
        return self.add(at, actor, "trigger:alert", "fired", CONDITION, [], measured)

    def cleared(self, at: float, name: str = "Mapper5xxHigh") -> AuditEntry:
        """Let the same be over."""
        measured = ["map_error_rate = 0.0"]
        actor = f"trigger:{name}"
        return self.add(at, actor, "trigger:alert", "cleared", CONDITION, [], measured)

    def promoted(self, at: float) -> AuditEntry:
        """Let the last step of a ramp pass."""
        self.state = promoted(self.state, "passed")
        diff = ["phase -> promoted", "weight_bp -> 0"]
        return self.add(at, "controller", "rollout:last_step_passed", "moved", "good", diff)

    def stepped(self, at: float, weight_bp: int) -> AuditEntry:
        """Let a step of a ramp pass."""
        diff = ["phase -> running", f"weight_bp -> {weight_bp}"]
        return self.add(at, "controller", "rollout:step_passed", "moved", "good", diff)

    def condemned(self, at: float) -> AuditEntry:
        """Let a critical guardrail take the canary back."""
        self.state = rolled_back(self.state, "errors")
        diff = ["phase -> rolled_back", "weight_bp -> 0"]
        said = ["errors: fail e=512 Counts(canary_bad=7, canary=20)"]
        action = "rollout:critical_failed"
        return self.add(at, "controller", action, "moved", "errors: too many", diff, said)

    def add(
        self,
        at: float,
        actor: str,
        action: object,
        outcome: AuditOutcome,
        reason: str = "",
        diff: list[str] | None = None,
        evidence: list[str] | None = None,
    ) -> AuditEntry:
        """Append one entry; its revision is its number."""
        number = len(self.entries) + 1
        entry = AuditEntry(
            number=number,
            previous=GENESIS,
            at=at,
            actor=actor,
            via="c-0",
            action=str(action),
            outcome=outcome,
            reason=reason,
            operation=f"op-{number}",
            revision=number,
            epoch=1,
            diff=diff or [],
            evidence=evidence or [],
        )
        self.entries.append(entry)
        return entry
