"""Orders: what operators may ask of the control plane, and what became of it."""

from typing import Annotated, Literal

from msgspec import Meta

from trimtab.contracts.component import Release
from trimtab.contracts.control import (
    Actor,
    Reason,
    ReleaseName,
    Switch,
    Value,
    WeightBp,
)
from trimtab.contracts.gates import GateReport
from trimtab.contracts.message import Message

DEFAULT_KILL_TTL_S = 4 * 3600.0
"""How long a kill lasts that names no TTL."""


class KillCommand(Message, frozen=True, kw_only=True, tag="kill"):
    """Override a switch."""

    switch: Switch
    """What to override."""
    value: Annotated[str, Meta(min_length=1, max_length=120)]
    """Set to what."""
    tenant: Annotated[str, Meta(max_length=64)] = ""
    """Only for this tenant; empty: all."""
    detector: Annotated[str, Meta(max_length=64)] = ""
    """Only for this detector; empty: all."""
    ttl_s: Annotated[float, Meta(gt=0)] | None = DEFAULT_KILL_TTL_S
    """None: for ever, which must be said."""


class RestoreCommand(Message, frozen=True, kw_only=True, tag="restore"):
    """Take an override back."""

    switch: Switch
    """What to override."""
    value: Annotated[str, Meta(max_length=120)] = ""
    """Which release to un-ban; empty: any value."""
    tenant: Annotated[str, Meta(max_length=64)] = ""
    """Only for this tenant; empty: all."""
    detector: Annotated[str, Meta(max_length=64)] = ""
    """Only for this detector; empty: all."""


class SetCommand(Message, frozen=True, kw_only=True, tag="set", omit_defaults=True):
    """Change a tunable within its bounds."""

    name: Annotated[str, Meta(min_length=1, max_length=80)]
    """Which tunable, dotted."""
    value: Value | None
    """None takes it back to the release's or the default."""
    tenant: Annotated[str, Meta(max_length=64)] = ""
    """Only for this tenant; empty: all."""
    detector: Annotated[str, Meta(max_length=64)] = ""
    """Only for this detector, where the tunable may differ by it; empty: all."""
    ttl_s: Annotated[float, Meta(gt=0)] | None = None
    """None: until changed."""


class CreateReleaseCommand(Message, frozen=True, kw_only=True, tag="create_release"):
    """Add an immutable release."""

    release: Release
    """Which release."""


class DeleteReleaseCommand(Message, frozen=True, kw_only=True, tag="delete_release"):
    """Forget a release that nothing returns to; workers let go of what only it named."""

    release: ReleaseName
    """Which release; one that is not there is deleted already."""


class StartCanaryCommand(Message, frozen=True, kw_only=True, tag="start_canary"):
    """Begin to ramp a release."""

    release: ReleaseName
    """Which release."""
    policy: Annotated[str, Meta(max_length=80)] = ""
    """Ramp policy by name; empty: weights by hand."""
    weight_bp: WeightBp = 0
    """First weight when no policy is named."""


class SetWeightCommand(Message, frozen=True, kw_only=True, tag="set_weight"):
    """Set the canary's share by hand."""

    weight_bp: WeightBp
    """Basis points, 0-10000."""


class PauseCommand(Message, frozen=True, kw_only=True, tag="pause"):
    """Keep the weight, stop the ramp."""


class ResumeCommand(Message, frozen=True, kw_only=True, tag="resume"):
    """Go on with a paused or held ramp."""


class PromoteCommand(Message, frozen=True, kw_only=True, tag="promote"):
    """Make the canary the stable release."""


class AbortCommand(Message, frozen=True, kw_only=True, tag="abort"):
    """End the ramp, weight 0; terminal."""


class RollBackCommand(Message, frozen=True, kw_only=True, tag="roll_back"):
    """Return to a release: the canary's weight to 0, or the stable one replaced by an earlier one."""

    to: ReleaseName | None = None
    """None: abort a running canary, else the previous stable."""


class FreezeCommand(Message, frozen=True, kw_only=True, tag="freeze"):
    """Stop automation, or let it go on."""

    on: bool
    """True stops automation."""


class RecordGateCommand(Message, frozen=True, kw_only=True, tag="record_gate"):
    """Keep what was measured of a release, passed or not."""

    report: GateReport
    """Of a known release, exactly as it is."""


Command = (
    KillCommand
    | RestoreCommand
    | SetCommand
    | CreateReleaseCommand
    | DeleteReleaseCommand
    | StartCanaryCommand
    | SetWeightCommand
    | PauseCommand
    | ResumeCommand
    | PromoteCommand
    | AbortCommand
    | RollBackCommand
    | FreezeCommand
    | RecordGateCommand
)
"""Everything that may be asked; tagged by ``type``."""


class Order(Message, frozen=True, kw_only=True):
    """Operator -> controller (``trimtab.op.v1.command``): a command with who, why and how."""

    operation: Annotated[str, Meta(min_length=8, max_length=64)]
    """Unique per intent: the same id again changes nothing and returns the same revision."""
    command: Command
    """What."""
    actor: Actor
    """Who."""
    reason: Reason = ""
    """Why."""
    dry_run: bool = False
    """Only say what would change and what the interlocks think of it."""
    expect_revision: int | None = None
    """Refuse unless this is still the newest revision."""
    force: bool = False
    """Override the interlocks; needs a reason, and is audited."""


class Finding(Message, frozen=True, kw_only=True):
    """What one interlock thinks of a command."""

    interlock: str
    """Its name."""
    ok: bool
    """Whether it lets the command pass."""
    detail: str
    """What it looked at, and what to do when it refuses."""


class Outcome(Message, frozen=True, kw_only=True):
    """Controller -> operator: what became of an order."""

    revision: int
    """Newest revision now."""
    changed: bool
    """False when everything already was as asked, or on a dry run."""
    diff: list[str]
    """One line per changed value: ``path: before -> after``."""
    findings: list[Finding]
    """What the interlocks said; empty when none applied."""
    status: Literal["written", "unchanged", "dry_run"]
    """written; unchanged: all was as asked; dry_run: nothing was written."""
    workers: list[str] = []
    """On a dry run, what each live worker would do, a line each; empty without a view of the fleet."""
