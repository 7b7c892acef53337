"""How good the reranker is for those who use it: choices joined to a sample of searches, by arm.

Nothing online says what is right but the people themselves. Both orders of a search are judged by the
passage that was chosen; people choose what they are shown first, so the difference within one arm
flatters the order that was shown, and arms are compared by the order that each of them showed.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from services.gateway.ranking import Ranking
from services.gateway.sessions import key_of
from services.gateway.shown import Judged, Memory, Shown
from services.gateway.stages import Stages
from trimtab.contracts.retrieve import RetrieveReply
from trimtab.telemetry.metrics import CHOSEN_RECIPROCAL_RANK, RERANK_MRR_GAIN
from trimtab.telemetry.sampling import sampled
from trimtab.worker.sampler import Sampler

ENDPOINT = "chosen"
NOT_FIRST = "chosen_not_first"
BELOW_FIVE = "chosen_below_five"
"""Bad events: the chosen passage was not the first that was shown; it was not among the first five."""

NO_RERANKER = "none"
_PURPOSE = "feedback"


@dataclass
class Feedback:
    """Remembers a sample of the searches and counts what was chosen of them."""

    sampler: Sampler
    """Counts by release and role: what a policy judges."""
    memory: Memory
    """The sample."""
    share: float
    """Of the searches, 0..1; decided by the request id."""
    _gains: dict[tuple[str, str], list[float]] = field(
        default_factory=lambda: defaultdict(lambda: [0.0, 0.0])
    )

    def shown(self, found: RetrieveReply, ranking: Ranking, stages: Stages) -> None:
        """Remember a search when it is in the sample."""
        context = stages.context
        if not sampled(context.request_id, self.share, _PURPOSE):
            return
        before = [hit.id for hit in found.hits]
        after = [before[position] for position in ranking.order]
        component = stages.release.rerank if ranking.reranked else None
        key = search_key(context.tenant, context.request_id)
        self.memory.keep(key, before, after, component or NO_RERANKER, context)

    def chosen(self, search: str, passage: str) -> None:
        """Count a choice when this process remembers the search."""
        taken = self.memory.take(search, passage)
        if taken is not None:
            self._count(*taken)

    def _count(self, shown: Shown, judged: Judged) -> None:
        context, component = shown.context, shown.component
        self.sampler.observe(ENDPOINT, component, context.release, "ok", 0.0, context.role)
        if judged.rank > 1:
            self.sampler.bad(ENDPOINT, component, context, NOT_FIRST)
        if judged.rank > 5:
            self.sampler.bad(ENDPOINT, component, context, BELOW_FIVE)
        CHOSEN_RECIPROCAL_RANK.labels("retrieved", component, context.role).observe(judged.before)
        CHOSEN_RECIPROCAL_RANK.labels("answered", component, context.role).observe(judged.after)
        gain = self._gains[component, context.role]
        gain[0] += judged.after - judged.before
        gain[1] += 1
        RERANK_MRR_GAIN.labels(component, context.role).set(gain[0] / gain[1])


def search_key(tenant: str, request_id: str) -> str:
    """Return what a search is known by."""
    return key_of("search", tenant, request_id)
