"""The running deployment as those see it who measure it: single stages over the bus, as a release names them.

The stages answer exactly as they answer the gateway. No request names a release, so none of them counts
as evidence for or against a canary.
"""

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab.bus.caller import Caller
from trimtab.client import Client
from trimtab.contracts import subjects
from trimtab.contracts.component import Release
from trimtab.contracts.encode import EncodeReply, EncodeRequest, TokenVectors
from trimtab.contracts.errors import UnknownRelease
from trimtab.contracts.headers import RequestContext, now_ms
from trimtab.contracts.inspect import NORM_TOLERANCE, InspectReply, InspectRequest
from trimtab.contracts.rerank import RerankReply, RerankRequest
from trimtab.contracts.retrieve import RetrieveReply, RetrieveRequest, Signals
from trimtab.contracts.sparse import SparseVectors
from trimtab.contracts.tensor import Matrix
from trimtab.contracts.vectors import VectorsReply, VectorsRequest
from trimtab.control.effective import Controls, chosen, setting
from trimtab.control.store import ControlStore
from trimtab.control.tunables import SPARSE

_TEXTS = 16
"""Texts per request to the encoder."""

Advance = Callable[[int], None]
"""Told how much more is done."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A query as the encoder sees it."""

    text: str
    """The query itself, for the lexical half."""
    vector: NDArray[np.float32]
    """(1, dimension), unit length."""
    tokens: TokenVectors | None
    """For late interaction."""
    sparse: SparseVectors | None = None
    """Learned sparse vector; None where the deployment uses none."""


@dataclass(frozen=True)
class Live:
    """One release of a running deployment, asked by an operator for one tenant."""

    caller: Caller
    """Over the operator's connection."""
    controls: Controls
    """As read at the start."""
    release: Release
    """Whose components are asked."""
    tenant: str
    """Whose passages count beside everybody's."""
    timeout_s: float
    """Of each request."""

    @classmethod
    async def of(
        cls, client: Client, tenant: str, *, release: str = "", timeout_s: float = 30.0
    ) -> "Live":
        """Read the control state and choose a release; the stable one when none is named.

        Raises:
            NotReady: no controller ever ran there.
            UnknownRelease: there is none of that name.
        """
        controls = await (await ControlStore.open(client.connection)).read()
        known = controls.state.releases
        if release and release not in known:
            raise UnknownRelease(release, tuple(sorted(known)))
        wanted = known[release] if release else controls.release
        return cls(Caller(client.connection), controls, wanted, tenant, timeout_s)

    def nprobe(self) -> int | None:
        """Return the lists that a search visits now; None leaves it to the index."""
        found = chosen(
            self.controls, "retriever.nprobe", self.release, now=time.time(), tenant=self.tenant
        )
        return None if found is None else int(found)

    def pool(self) -> int:
        """Return how many candidates a search fetches for the reranker now."""
        return int(
            setting(
                self.controls, "gateway.pool", self.release, now=time.time(), tenant=self.tenant
            )
        )

    def asks_sparse(self) -> bool:
        """Return whether a search asks the encoder for learned sparse vectors now."""
        name, now = SPARSE, time.time()
        return bool(setting(self.controls, name, self.release, now=now, tenant=self.tenant))

    async def inspect(
        self,
        collection: str,
        *,
        sample: int = 0,
        seed: int = 0,
        tolerance: float = NORM_TOLERANCE,
    ) -> InspectReply:
        """Return the facts of the release's index over a collection."""
        request = InspectRequest(
            collection=collection, sample=sample, seed=seed, tolerance=tolerance
        )
        subject = subjects.inspect(self.release.retrieve)
        return (await self.caller.call(subject, request, InspectReply, self._context())).message

    async def vectors(self, collection: str, after: int) -> VectorsReply:
        """Return the next page of a collection's vectors; -1 begins, then the page's ``last``."""
        request = VectorsRequest(collection=collection, after=after)
        subject = subjects.vectors(self.release.retrieve)
        return (await self.caller.call(subject, request, VectorsReply, self._context())).message

    async def encode(
        self, texts: Sequence[str], advance: Advance = lambda _: None
    ) -> list[Encoded]:
        """Return every text as the release's encoder sees it, in order."""
        found: list[Encoded] = []
        for start in range(0, len(texts), _TEXTS):
            part = list(texts[start : start + _TEXTS])
            request = EncodeRequest(
                namespace=self.release.namespace,
                texts=part,
                tokens=True,
                sparse="query" if self.asks_sparse() else None,
            )
            subject = subjects.encode(self.release.encode)
            answer = await self.caller.call(subject, request, EncodeReply, self._context())
            found += _split(part, answer.message)
            advance(len(part))
        return found

    async def nearest(
        self, collection: str, vector: NDArray[np.float32], limit: int, nprobe: int | None
    ) -> RetrieveReply:
        """Return what the vectors alone find: without words, so that the index itself is measured."""
        request = RetrieveRequest(
            collection=collection,
            namespace=self.release.namespace,
            text="",
            vector=Matrix.of(vector.reshape(1, -1)),
            limit=limit,
            nprobe=nprobe,
        )
        return await self._retrieve(request)

    async def candidates(
        self,
        collection: str,
        query: Encoded,
        limit: int,
        nprobe: int | None,
        *,
        exclude: Sequence[str] = (),
    ) -> RetrieveReply:
        """Return the candidates of a query, as the gateway asks for them."""
        request = RetrieveRequest(
            collection=collection,
            namespace=self.release.namespace,
            text=query.text,
            vector=Matrix.of(query.vector),
            tokens=query.tokens,
            limit=limit,
            nprobe=nprobe,
            exclude=list(exclude),
            sparse=query.sparse,
        )
        return await self._retrieve(request)

    async def rerank(self, signals: Signals, component: str) -> RerankReply:
        """Return a better order of candidates."""
        request = RerankRequest(signals=signals)
        subject = subjects.rerank(component)
        return (await self.caller.call(subject, request, RerankReply, self._context())).message

    async def _retrieve(self, request: RetrieveRequest) -> RetrieveReply:
        subject = subjects.retrieve(self.release.retrieve)
        return (await self.caller.call(subject, request, RetrieveReply, self._context())).message

    def _context(self) -> RequestContext:
        deadline = now_ms() + int(1000 * self.timeout_s)
        return RequestContext(uuid.uuid4().hex, self.tenant, deadline)


def _split(texts: Sequence[str], reply: EncodeReply) -> list[Encoded]:
    vectors = reply.vectors.array()
    tokens: list[TokenVectors | None] = [None] * len(texts)
    if reply.tokens is not None:
        rows, ends = reply.tokens.matrix.array(), np.cumsum(reply.tokens.counts).tolist()
        tokens = [
            TokenVectors(matrix=Matrix.of(rows[end - count : end]), counts=[count])
            for count, end in zip(reply.tokens.counts, ends, strict=True)
        ]
    sparse = [None] * len(texts) if reply.sparse is None else reply.sparse.apart()
    return [
        Encoded(text, vectors[number : number + 1], tokens[number], sparse[number])
        for number, text in enumerate(texts)
    ]
