"""What gateways tell each other, so that any of them may get the next request of a session, or a choice.

Told without waiting, and heard by all, the teller included: a search is never late for it, and what gets
lost costs one query of a session or one choice of the sample.
"""

import contextlib

import nats.errors
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg

from services.gateway.feedback import Feedback, search_key
from services.gateway.ranking import Ranking
from services.gateway.sessions import Sessions, key_of
from services.gateway.stages import Stages
from trimtab.contracts import subjects
from trimtab.contracts.errors import InvalidMessage
from trimtab.contracts.feedback import (
    FeedbackReply,
    FeedbackRequest,
    PassageChosen,
    SessionQueried,
)
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.message import Message, decode, encode
from trimtab.contracts.retrieve import RetrieveReply
from trimtab.contracts.tensor import Matrix


class Peers:
    """This gateway's mouth and ears."""

    def __init__(self, connection: NatsClient, sessions: Sessions, feedback: Feedback) -> None:
        self._connection = connection
        self._sessions = sessions
        self._feedback = feedback

    async def listen(self) -> None:
        """Begin to hear; ends with the connection."""
        await self._connection.subscribe(subjects.SESSION_QUERIED, cb=self._queried)
        await self._connection.subscribe(subjects.PASSAGE_CHOSEN, cb=self._chosen)

    async def feedback(self, request: FeedbackRequest, context: RequestContext) -> FeedbackReply:
        """Tell everybody which passage was chosen: one of them may remember the search."""
        search = search_key(context.tenant, request.request_id)
        chosen = PassageChosen(search=search, passage=request.passage)
        await self._tell(subjects.PASSAGE_CHOSEN, chosen)
        return FeedbackReply(request_id=request.request_id)

    def shown(self, found: RetrieveReply, ranking: Ranking, stages: Stages) -> None:
        """Remember what a search showed, when it is in the sample."""
        self._feedback.shown(found, ranking, stages)

    async def earlier(
        self, session: str | None, namespace: str, context: RequestContext, query: Matrix
    ) -> Matrix | None:
        """Return the mean of a session's earlier queries, and tell everybody of this one.

        None without a session, and without anything known of it.
        """
        if session is None:
            return None
        key = key_of("session", context.tenant, namespace, session)
        earlier = self._sessions.recall(key, query.dim)
        await self._tell(subjects.SESSION_QUERIED, SessionQueried(session=key, vector=query))
        return earlier

    async def _tell(self, subject: str, event: Message) -> None:
        # A connection may go at any time; a search is answered without its session's memory.
        with contextlib.suppress(nats.errors.Error, OSError):
            await self._connection.publish(subject, encode(event))

    async def _queried(self, message: Msg) -> None:
        # What another version says is not understood; it is as if nothing was said.
        with contextlib.suppress(InvalidMessage):
            event = decode(SessionQueried, message.data)
            self._sessions.note(event.session, event.vector)

    async def _chosen(self, message: Msg) -> None:
        with contextlib.suppress(InvalidMessage):
            event = decode(PassageChosen, message.data)
            self._feedback.chosen(event.search, event.passage)
