"""What the controller writes into the audit: every command, refusal, move and trigger."""

import asyncio
from pathlib import Path

import msgspec
from nacl.signing import SigningKey

from services.controller.analysis import Verdict
from services.controller.rollout import Move
from services.controller.triggers import Watch
from trimtab.audit.ledger import Act, Ledger, keep_checkpoint
from trimtab.contracts.errors import BusUnavailable, TrimtabError
from trimtab.contracts.orders import Finding, Order, Outcome
from trimtab.telemetry.logs import Logger
from trimtab.telemetry.metrics import AUDIT_LOST

CHECKPOINT_S = 60.0
"""How often the chain is signed; a signature also goes to the log, which is kept elsewhere."""


class Recorder:
    """Turns what happened into audit entries."""

    def __init__(self, ledger: Ledger, key: SigningKey, checkpoints: Path, log: Logger) -> None:
        self._ledger = ledger
        self._key = key
        self._checkpoints = checkpoints
        self._log = log

    async def ordered(self, order: Order, outcome: Outcome) -> None:
        """Record a command that was carried out, changed nothing, or was a dry run."""
        forced = order.force and any(not finding.ok for finding in outcome.findings)
        await self._append(
            Act(
                actor=order.actor,
                action=tag_of(order),
                outcome="forced" if forced else outcome.status,
                reason=order.reason,
                operation=order.operation,
                revision=outcome.revision,
                diff=tuple(outcome.diff),
                evidence=tuple(_said(finding) for finding in outcome.findings),
            )
        )

    async def refused(self, order: Order, error: TrimtabError, revision: int) -> None:
        """Record a command that was refused, and why."""
        await self._append(
            Act(
                actor=order.actor,
                action=tag_of(order),
                outcome="refused",
                reason=error.detail,
                operation=order.operation,
                revision=revision,
            )
        )

    async def moved(self, move: Move, verdict: Verdict, revision: int, epoch: int) -> None:
        """Record an automatic move of a rollout with the evidence that decided it."""
        await self._append(
            Act(
                actor="controller",
                action=f"rollout:{move.event.name.lower()}",
                outcome="moved",
                reason=verdict.reason[:1000],
                revision=revision,
                epoch=epoch,
                diff=(f"phase -> {move.canary.phase}", f"weight_bp -> {move.canary.weight_bp}"),
                evidence=tuple(
                    f"{f.guardrail.name}: {f.outcome} e={f.evidence:.4g} {f.counts}"
                    for f in verdict.findings
                ),
            )
        )

    async def fired(self, watch: Watch, revision: int, epoch: int) -> None:
        """Record a trigger that fired."""
        await self._append(
            Act(
                actor=f"trigger:{watch.trigger.name}",
                action=f"trigger:{watch.trigger.action}",
                outcome="fired",
                reason=watch.trigger.condition,
                revision=revision,
                epoch=epoch,
                evidence=(f"{watch.condition.metric} = {watch.measured}",),
            )
        )

    async def cleared(self, watch: Watch, revision: int, epoch: int) -> None:
        """Record that what a trigger fired for is over, or not known any more."""
        why = "inhibited" if watch.inhibited else f"{watch.condition.metric} = {watch.measured}"
        await self._append(
            Act(
                actor=f"trigger:{watch.trigger.name}",
                action=f"trigger:{watch.trigger.action}",
                outcome="cleared",
                reason=watch.trigger.condition,
                revision=revision,
                epoch=epoch,
                evidence=(why,),
            )
        )

    async def sign_forever(self) -> None:
        """Sign the chain every minute; the signature goes to a file and to the log."""
        while True:
            await asyncio.sleep(CHECKPOINT_S)
            try:
                point = await keep_checkpoint(self._ledger, self._key, self._checkpoints)
            except BusUnavailable:
                continue  # the next minute covers this one too
            self._log.info("audit_checkpoint", index=point.number, hash=point.head)

    async def _append(self, act: Act) -> None:
        try:
            entry = await self._ledger.append(act)
        except BusUnavailable as error:
            # The command itself went through; that its record did not must be seen.
            AUDIT_LOST.inc()
            self._log.error(
                "audit_lost", kind=act.action, revision=act.revision, error=error.detail
            )
            return
        self._log.warning(
            "audited",
            kind=act.action,
            outcome=act.outcome,
            revision=act.revision,
            index=entry.number,
        )


def tag_of(order: Order) -> str:
    """Return the command's tag, for example ``kill``."""
    return str(msgspec.to_builtins(order.command)["type"])


def _said(finding: Finding) -> str:
    return f"{finding.interlock}: {'ok' if finding.ok else 'refuses'}: {finding.detail}"
