"""Whole searches and single stages asked the queries of an evaluation, with what went wrong counted."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from trimtab.client import Client
from trimtab.contracts.errors import BusUnavailable, NoWorkers, TrimtabError
from trimtab.contracts.pipeline import SearchReply
from trimtab.contracts.retrieve import RetrieveReply, SparseUse
from trimtab.evaluation.live import Advance, Encoded, Live
from trimtab.evaluation.metrics import DEPTH, without_repeats
from trimtab.evaluation.queries import Query
from trimtab.evaluation.runs import Ranking, ranking_of

_WARM_UP = 5
"""Searches that are not timed: the first ones fill caches that serving has full."""


@dataclass
class Answers:
    """What came of one run."""

    run: list[Ranking] = field(default_factory=list)
    """One per query, in order; a query that failed found nothing."""
    took_ms: list[float] = field(default_factory=list)
    """Of the queries that were answered."""
    errors: Counter[str] = field(default_factory=Counter)
    """Name of an error -> how often."""
    degraded: Counter[str] = field(default_factory=Counter)
    """What was left out -> how often."""
    releases: Counter[str] = field(default_factory=Counter)
    """Release -> answers it gave."""
    versions: dict[str, str] = field(default_factory=dict)
    """Stage -> component, of the last answer."""
    in_force: dict[str, Any] = field(default_factory=dict)
    """Revision, settings and switches when it began, by name."""
    sparse: list[Ranking] = field(default_factory=list)
    """The candidates by learned sparse vectors alone; of the retriever alone, and only where it searched them."""

    @property
    def error_rate(self) -> float:
        """Share of queries that got an error."""
        return self.errors.total() / len(self.run) if self.run else 0.0

    def take(self, query: Query, reply: SearchReply, took_ms: float) -> None:
        """Count an answer."""
        self.run.append(ranking_of(query, without_repeats(each.id for each in reply.results)))
        self.took_ms.append(took_ms)
        self.degraded.update(reply.degraded)
        self.releases[reply.release] += 1
        self.versions = reply.versions

    def fail(self, query: Query, error: TrimtabError) -> None:
        """Count an error: the query found nothing."""
        self.run.append(ranking_of(query, ()))
        self.errors[error.reply().error] += 1


@dataclass
class Reordered:
    """The same candidates in two orders."""

    before: list[Ranking] = field(default_factory=list)
    """As retrieved."""
    after: list[Ranking] = field(default_factory=list)
    """As reranked."""
    took_ms: list[float] = field(default_factory=list)
    """Of the rerank stage."""
    first_changed: int = 0
    """Queries whose first result became another."""


@dataclass(frozen=True)
class FrontDoor:
    """The gateway, asked as a producer asks it."""

    client: Client
    """Connected."""
    collection: str
    """Where to search."""
    tenant: str
    """Whose passages count beside everybody's."""
    timeout_s: float
    """Of each search."""

    async def ask(self, queries: Sequence[Query], advance: Advance) -> Answers:
        """Return what every query finds; an error counts as a query that found nothing.

        Raises:
            BusUnavailable: NATS does not answer any more.
            NoWorkers: no gateway runs.
        """
        warm_up = Answers()
        for query in queries[:_WARM_UP]:
            await self._one(query, warm_up)
        answers = Answers()
        for query in queries:
            await self._one(query, answers)
            advance(1)
        return answers

    async def _one(self, query: Query, answers: Answers) -> None:
        began = time.perf_counter()
        try:
            reply = await self.client.search(
                query.text,
                collection=self.collection,
                limit=DEPTH,
                context=query.context,
                exclude=query.exclude,
                tenant=self.tenant,
                timeout_s=self.timeout_s,
            )
        except (BusUnavailable, NoWorkers):
            raise  # there is nothing to evaluate
        except TrimtabError as error:
            answers.fail(query, error)
        else:
            answers.take(query, reply, 1000 * (time.perf_counter() - began))


async def retrieved(
    live: Live,
    collection: str,
    queries: Sequence[Query],
    encoded: Sequence[Encoded],
    advance: Advance,
) -> Answers:
    """Return what the retriever alone finds: its fused order, no reranker; timed at its stage.

    Raises:
        TrimtabError: a request failed: a stage that is measured alone must answer every query.
    """
    answers = Answers(versions={"encode": live.release.encode, "retrieve": live.release.retrieve})
    for query, each in zip(queries, encoded, strict=True):
        began = time.perf_counter()
        reply = await live.candidates(collection, each, DEPTH, live.nprobe(), exclude=query.exclude)
        answers.took_ms.append(1000 * (time.perf_counter() - began))
        ids = without_repeats(hit.id for hit in reply.hits)
        answers.run.append(ranking_of(query, ids))
        answers.releases[live.release.name] += 1
        if reply.sparse is SparseUse.USED:
            answers.sparse.append(ranking_of(query, _by_sparse(reply)))
        elif reply.sparse is not None:
            answers.degraded[f"sparse: {reply.sparse.value}"] += 1
        advance(1)
    return answers


async def reordered(
    live: Live,
    component: str,
    collection: str,
    queries: Sequence[Query],
    encoded: Sequence[Encoded],
    advance: Advance,
) -> Reordered:
    """Return every query's candidates as retrieved and as ``component`` reorders the very same ones."""
    found = Reordered()
    for query, each in zip(queries, encoded, strict=True):
        reply = await live.candidates(
            collection, each, live.pool(), live.nprobe(), exclude=query.exclude
        )
        before = [hit.id for hit in reply.hits]
        after = before
        if reply.signals is not None:
            began = time.perf_counter()
            reranked = await live.rerank(reply.signals, component)
            found.took_ms.append(1000 * (time.perf_counter() - began))
            after = [before[place] for place in reranked.order]
            found.first_changed += reranked.first_changed
        found.before.append(ranking_of(query, without_repeats(before)))
        found.after.append(ranking_of(query, without_repeats(after)))
        advance(1)
    return found


def _by_sparse(reply: RetrieveReply) -> tuple[str, ...]:
    """Return the candidates that share a term with the query, the greatest product first."""
    if reply.signals is None or reply.signals.sparse is None:
        return ()
    products = reply.signals.sparse.array()[0].tolist()
    best = sorted(range(len(products)), key=lambda place: -products[place])
    return without_repeats(reply.hits[place].id for place in best if products[place] > 0)
