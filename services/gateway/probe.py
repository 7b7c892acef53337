"""Questions that an operator asks of one release, whatever its weight: what its gates are measured with.

The same stages, in the same order, as a search or a map; beside it the index is asked to visit every
list, which is what FLAT would find.
"""

from dataclasses import dataclass, replace

import numpy as np

from services.gateway.ordering import rank
from services.gateway.pipeline import Pipeline
from services.gateway.stages import Stages
from trimtab.contracts.encode import EncodeReply, EncodeRequest
from trimtab.contracts.errors import InvalidCommand, UnknownRelease
from trimtab.contracts.gates import ProbedMap, ProbedSearch, ProbeMap, ProbeSearch
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.retrieve import EVERY_LIST, RetrieveReply, RetrieveRequest

_NEAREST = 10
_CANDIDATES = 50


class Probe:
    """The gateway's answers to probes."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def search(self, request: ProbeSearch, context: RequestContext) -> ProbedSearch:
        """Ask one release one question, as its index is set and with every list visited.

        Raises:
            UnknownRelease: no release of that name.
            InvalidCommand: its content is another than was meant.
        """
        stages = self._stages(request, context)
        encoded = await stages.encode(
            EncodeRequest(namespace=stages.release.namespace, texts=[request.text], tokens=True)
        )
        found, truly, near, truly_near = [
            await self._retrieve(stages, request, encoded, kind) for kind in _WAYS
        ]
        ranking = await rank(stages, found)
        return ProbedSearch(
            norm=float(np.linalg.norm(encoded.vectors.array()[0].astype(np.float64))),
            nearest=_ids(near),
            truly_nearest=_ids(truly_near),
            retrieved=_ids(found),
            truly_retrieved=_ids(truly),
            results=[hit.id for hit, _ in ranking.hits(found)],
        )

    async def map(self, request: ProbeMap, context: RequestContext) -> ProbedMap:
        """Ask one release for the labels of one output; raises as :meth:`search`."""
        stages = self._stages(request, context)
        reply = await self._pipeline.label(stages, request.call)
        return ProbedMap(labels=reply.taxonomy, answer=reply)

    def _stages(self, request: ProbeSearch | ProbeMap, context: RequestContext) -> Stages:
        """Return the stages of the release asked for; without a role it is counted for no canary."""
        controls = self._pipeline.feed.required
        release = controls.state.releases.get(request.release)
        if release is None:
            raise UnknownRelease(request.release, tuple(sorted(controls.state.releases)))
        if release.hash != request.release_hash:
            raise InvalidCommand(
                f"{release.name} is {release.hash}, not {request.release_hash}; look again"
            )
        stamped = replace(context, release=release.name, revision=controls.revision)
        return Stages(self._pipeline.caller, controls, release, stamped)

    async def _retrieve(
        self, stages: Stages, request: ProbeSearch, encoded: EncodeReply, kind: "_Kind"
    ) -> RetrieveReply:
        chosen = EVERY_LIST if kind.exact else stages.chosen("retriever.nprobe")
        return await stages.retrieve(
            RetrieveRequest(
                collection=request.collection,
                namespace=stages.release.namespace,
                text=request.text if kind.words else "",  # without words the vector alone decides
                vector=encoded.vectors,
                tokens=encoded.tokens if kind.words else None,
                limit=_CANDIDATES if kind.words else _NEAREST,
                nprobe=None if chosen is None else int(chosen),
            )
        )


@dataclass(frozen=True, slots=True)
class _Kind:
    """One way to ask the index."""

    words: bool
    exact: bool


_WAYS = tuple(_Kind(words, exact) for words in (True, False) for exact in (False, True))


def _ids(found: RetrieveReply) -> list[str]:
    return [hit.id for hit in found.hits]
