"""Where evaluations arrive: from operators, from other controllers, and from the store at a start.

Whichever controller an operator reaches stores the evaluation before it answers. The others, the leader
among them, hear of it at once, and read the store every few seconds in case they did not.
"""

import contextlib
import time
from dataclasses import dataclass

import nats.errors
from nats.aio.client import Client as NatsClient

from services.controller.evaluations import Evaluations
from services.controller.evaluationstore import EvaluationStore
from trimtab.contracts import subjects
from trimtab.contracts.errors import BusUnavailable
from trimtab.contracts.evaluation import Evaluation, EvaluationReply
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.message import encode
from trimtab.telemetry.logs import Logger
from trimtab.telemetry.metrics import EVALUATION


@dataclass(frozen=True, slots=True)
class EvaluationDesk:
    """Takes them for one controller."""

    store: EvaluationStore
    """Shared by all controllers."""
    heard: Evaluations
    """Shared with the loops that judge by them."""
    connection: NatsClient
    """To tell the others."""
    log: Logger
    """Told of a store that cannot be read."""

    async def take(self, told: Evaluation, _context: RequestContext) -> EvaluationReply:
        """Acknowledge an operator's evaluation once it is on disk.

        Raises:
            InvalidMessage: its time cannot be believed.
            BusUnavailable: it could not be stored.
        """
        kept = await self.store.keep(told, time.time())
        if kept:
            self.hear(told)
            with contextlib.suppress(nats.errors.Error):  # the store tells them too
                await self.connection.publish(subjects.EVALUATION, encode(told))
        return EvaluationReply(kept=kept)

    async def recall(self) -> None:
        """Hear everything that is kept."""
        try:
            kept = await self.store.read()
        except BusUnavailable as error:
            self.log.warning("evaluations_not_read", detail=error.detail)
            return
        for evaluation in kept:
            self.hear(evaluation)

    def hear(self, evaluation: Evaluation) -> None:
        """Take one that is stored, and show its figures."""
        self.heard.hear(evaluation)
        figures = {
            "recall_at_5": evaluation.recall_at_5,
            "recall_at_5_drop": evaluation.before - evaluation.recall_at_5,
            "contain_at_50": evaluation.contain_at_50,
        }
        for figure, value in figures.items():
            if value is not None:
                EVALUATION.labels(evaluation.release, figure).set(value)
