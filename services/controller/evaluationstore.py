"""The newest evaluations in JetStream KV: what was acknowledged outlives the controller that heard it.

One document, written by compare-and-set. Merging an evaluation twice changes nothing, so a write whose
answer was lost is simply tried again.
"""

from dataclasses import dataclass

import nats.errors
import nats.js.errors
from nats.aio.client import Client as NatsClient
from nats.js.kv import KeyValue

from services.controller.evaluations import HOLDS_S, Evaluations
from trimtab.contracts.errors import BusUnavailable, InvalidMessage
from trimtab.contracts.evaluation import Evaluation, KeptEvaluations
from trimtab.contracts.message import decode, encode
from trimtab.contracts.subjects import EVALUATION_BUCKET, EVALUATION_KEY
from trimtab.telemetry.logs import Logger

ATTEMPTS = 4

_AHEAD_S = 300.0
"""How far an operator's clock may be ahead: one from the far future would outrank all that follow."""


@dataclass(frozen=True, slots=True)
class EvaluationStore:
    """Reads and writes the document of one deployment."""

    bucket: KeyValue
    """``trimtab_evaluations``."""
    log: Logger
    """Told of a document that cannot be read."""

    @classmethod
    async def open(cls, connection: NatsClient, log: Logger) -> "EvaluationStore":
        """Open the bucket, making it when it is not there."""
        js = connection.jetstream(timeout=2)
        try:
            bucket = await js.key_value(EVALUATION_BUCKET)
        except nats.js.errors.BucketNotFoundError:
            bucket = await js.create_key_value(bucket=EVALUATION_BUCKET, history=1)
        return cls(bucket, log)

    async def read(self) -> list[Evaluation]:
        """Return what is kept.

        Raises:
            BusUnavailable: JetStream does not answer.
        """
        return (await self._read())[0]

    async def keep(self, evaluation: Evaluation, now: float) -> bool:
        """Store an evaluation; return whether it is the newest of its release.

        Raises:
            InvalidMessage: its time is too long ago, or lies ahead.
            BusUnavailable: it could not be stored.
        """
        _check_time(evaluation, now)
        for _ in range(ATTEMPTS):
            before, revision = await self._read()
            merged = Evaluations()
            for each in (*before, evaluation):
                merged.hear(each)
            newest = merged.speaking(now)
            if evaluation not in newest or evaluation in before:
                return evaluation in newest
            try:
                await self.bucket.update(
                    EVALUATION_KEY, encode(KeptEvaluations(newest=newest)), last=revision
                )
            except (nats.errors.Error, nats.js.errors.Error):
                continue  # another controller was quicker, or the answer was lost: look again
            return True
        raise BusUnavailable("the evaluation could not be stored; publish it again")

    async def _read(self) -> tuple[list[Evaluation], int]:
        try:
            entry = await self.bucket.get(EVALUATION_KEY)
        except nats.js.errors.KeyNotFoundError:
            return [], 0
        except (nats.errors.Error, nats.js.errors.Error):
            raise BusUnavailable("JetStream does not answer; see `trimtab doctor`") from None
        revision = entry.revision or 0
        try:
            return decode(KeptEvaluations, entry.value or b"").newest, revision
        except InvalidMessage as error:
            # Nobody could publish any more if this one stood in the way: the next write replaces it.
            self.log.warning("evaluations_unreadable", revision=revision, detail=error.detail)
            return [], revision


def _check_time(evaluation: Evaluation, now: float) -> None:
    age_s = now - evaluation.at
    if -_AHEAD_S <= age_s < HOLDS_S:
        return
    how = "old" if age_s > 0 else "ahead of the controller's clock"
    raise InvalidMessage(
        "Evaluation", f"it is {abs(age_s):.0f} s {how}; set the clock, run it again"
    )
