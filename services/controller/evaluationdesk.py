"""Where evaluations arrive: from operators, from other controllers, and from the store at a start.

Whichever controller an operator reaches stores the evaluation before it answers. The others, the leader
among them, hear of it at once, and read the store every few seconds in case they did not.
"""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import nats.errors
from nats.aio.client import Client as NatsClient

from services.controller.evaluations import Evaluations
from services.controller.evaluationstore import EvaluationStore
from trimtab.contracts import subjects
from trimtab.contracts.errors import BusUnavailable
from trimtab.contracts.evaluation import Evaluation, EvaluationReply
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.message import encode
from trimtab.control.feed import ControlFeed
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
    feed: ControlFeed
    """Knows which releases there are."""

    async def take(self, told: Evaluation, _context: RequestContext) -> EvaluationReply:
        """Acknowledge an operator's evaluation once it is on disk.

        Raises:
            InvalidMessage: its time cannot be believed.
            BusUnavailable: it could not be stored.
        """
        told = msgspec.structs.replace(told, release_hash=self._hash(told.release))
        kept = await self.store.keep(told, time.time())
        if kept:
            self.hear(told)
            with contextlib.suppress(nats.errors.Error):  # the store tells them too
                await self.connection.publish(subjects.EVALUATION, encode(told))
        return EvaluationReply(kept=kept)

    async def recall(self) -> None:
        """Hear everything that is kept, and show what speaks now: without the store, of what was heard before."""
        try:
            for evaluation in await self.store.read():
                self.heard.hear(evaluation)
        except BusUnavailable as error:
            self.log.warning("evaluations_not_read", detail=error.detail)
        finally:
            self.refresh(time.time())

    def hear(self, evaluation: Evaluation) -> None:
        """Take one that is stored; show its figures unless a later one is known, or it does not speak."""
        self.heard.hear(evaluation)
        self.refresh(time.time())

    def refresh(self, now: float) -> None:
        """Show what speaks for a release and nothing else: an alert in Prometheus would outlast its release."""
        for old in self.heard.forget(now):
            _show(old.release, dict.fromkeys(_figures(old)))
        for each in self.heard.speaking(now):
            figures = _figures(each)
            known = each.release_hash and each.release_hash == self._hash(each.release)
            _show(each.release, figures if known else dict.fromkeys(figures))

    def _hash(self, name: str) -> str:
        """Return the content hash of the release of that name; empty when there is none."""
        controls = self.feed.current
        found = () if controls is None else controls.named(name)
        return "".join(release.hash for release in found)


def _figures(evaluation: Evaluation) -> dict[str, float | None]:
    alone = evaluation.retrieved
    return {
        "recall_at_5": evaluation.recall_at_5,
        "recall_at_5_drop": evaluation.before - evaluation.recall_at_5,
        "mrr_at_10": evaluation.mrr_at_10,
        "contain_at_50": evaluation.contain_at_50,
        "retrieved_recall_at_5": None if alone is None else alone.recall_at_5,
        "retrieved_mrr_at_10": None if alone is None else alone.mrr_at_10,
        "retrieved_contain_at_50": None if alone is None else alone.contain_at_50,
    }


def _show(release: str, figures: Mapping[str, float | None]) -> None:
    for figure, value in figures.items():
        if value is not None:
            EVALUATION.labels(release, figure).set(value)
        else:
            with contextlib.suppress(KeyError):  # it was not shown
                EVALUATION.remove(release, figure)
