"""Answers encode requests: from the cache, else from the model, never with a vector off unit length."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from services.encoder.backend import BatchLimits, EncoderBackend
from services.encoder.cache import EncodedText, TextCache, cache_key
from services.encoder.compute import Job, Result, compute, slices
from services.encoder.probe import off_unit, row_norms
from services.encoder.sparse.model import SparseModel
from services.encoder.tokenizer import check_text, check_tokens
from trimtab.contracts.encode import EncodeReply, EncodeRequest, TokenVectors
from trimtab.contracts.errors import (
    CallerError,
    DeadlineExceeded,
    ModelFailed,
    TokenBudgetExceeded,
    UnknownNamespace,
)
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.sparse import Kind, SparseVectors
from trimtab.contracts.tensor import Matrix
from trimtab.telemetry.metrics import (
    ENCODER_BUSY,
    ENCODER_CACHE,
    ENCODER_NORM,
    ENCODER_OVERFLOW,
    ENCODER_TEXTS,
    ENCODER_TOKENS,
)
from trimtab.worker.batching import Batcher
from trimtab.worker.sampler import Sampler

ENDPOINT = "encode"

_CHARS_PER_TOKEN = 4
"""Of English, about; only costs are estimated with it."""


@dataclass
class Encoder:
    """One encoder component in service."""

    component: str
    """``name@version``."""
    content_hash: str
    """Of its manifest."""
    backend: EncoderBackend
    """Its model; only the batcher's thread runs it."""
    cache: TextCache
    """What was computed before."""
    sampler: Sampler
    """Learns bad events and facts."""
    sparse: SparseModel | None = None
    """Makes learned sparse vectors; None: nobody gets any."""
    batch_texts: Callable[[], int | None] = lambda: None
    """Most texts per model call that an operator chose; None leaves it to the model's own limits."""
    batcher: "Batcher[Job, list[Result]]" = field(init=False)
    _busy_s: float = field(default=0.0, init=False)
    _computed: int = field(default=0, init=False)
    _told_s: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.batcher = Batcher(
            "encoder",
            self._timed,
            max_items=self.backend.limits.texts,
            max_cost=self.backend.limits.tokens,
            name=ENDPOINT,
        )
        self._note(mean_norm=1.0)

    async def encode(self, request: EncodeRequest, context: RequestContext) -> EncodeReply:
        """Return one unit vector per text, in order.

        Raises:
            UnknownNamespace: this component makes vectors of another space.
            InvalidText: a text is empty, blank or made of characters that the model drops.
            TokenBudgetExceeded: a text is over the budget and the request says to reject.
            DeadlineExceeded: the deadline passed between two slices of a long request.
            ModelFailed: the model raised, or made a vector off unit length.
        """
        if request.namespace != self.backend.namespace:
            raise UnknownNamespace(request.namespace, (self.backend.namespace,))
        for index, text in enumerate(request.texts):
            check_text(index, text)
        keys = [cache_key(self.content_hash, self.backend.profile, text) for text in request.texts]
        wants_tokens = request.tokens and self.backend.gives_tokens
        wants_sparse = request.sparse is not None and self.sparse is not None
        found = {
            key: self.cache.get(key, tokens=wants_tokens, sparse=wants_sparse)
            for key in dict.fromkeys(keys)
        }
        known = {key: row for key, row in found.items() if row is not None}
        cached = sum(key in known for key in keys)
        try:
            self._check_known(request, keys, known)
            fresh = await self._compute(request, context, keys, known)
        except CallerError as refusal:
            self._count_refusal(refusal, context)
            raise
        reply = self._reply(request, [(known | fresh)[key] for key in keys], cached)
        for key, row in fresh.items():
            self.cache.put(key, row)
        self._count(reply, context)
        return reply

    def _timed(self, jobs: Sequence[Job]) -> list[list[Result]]:
        started = time.perf_counter()
        try:
            return compute(self.backend, jobs, self.sparse)
        finally:
            self._busy_s += time.perf_counter() - started

    def _check_known(
        self, request: EncodeRequest, keys: list[bytes], known: dict[bytes, EncodedText]
    ) -> None:
        """Apply this request's policy to texts that another request may have let through."""
        for index, key in enumerate(keys):
            if key in known:
                check_tokens(
                    index,
                    known[key].total,
                    self.backend.specials,
                    self.backend.max_tokens,
                    request.overflow,
                )

    async def _compute(
        self,
        request: EncodeRequest,
        context: RequestContext,
        keys: list[bytes],
        known: dict[bytes, EncodedText],
    ) -> dict[bytes, EncodedText]:
        """Compute what is not known, in slices: a short request waits for a slice, not for all."""
        unknown = [key for key in dict.fromkeys(keys) if key not in known]
        indexes = [keys.index(key) for key in unknown]
        costs = [self._cost(request.texts[index]) for index in indexes]
        rows: list[EncodedText] = []
        limits = self._limits()
        self.batcher.max_items = limits.texts
        for part in slices(costs, limits):
            if (remaining_ms := context.remaining_ms()) <= 0:
                raise DeadlineExceeded(ENDPOINT, remaining_ms)
            texts = tuple(request.texts[index] for index in indexes[part])
            sparse = request.sparse is not None
            job = Job(texts, tuple(indexes[part]), request.overflow, request.tokens, sparse)
            rows += _accepted(await self.batcher.submit(job, sum(costs[part])))
        return dict(zip(unknown, rows, strict=True))

    def _limits(self) -> BatchLimits:
        texts, own = self.batch_texts(), self.backend.limits
        return own if texts is None else BatchLimits(texts, own.tokens)

    def _cost(self, text: str) -> int:
        return min(len(text) // _CHARS_PER_TOKEN + 2, self.backend.max_tokens)

    def _reply(self, request: EncodeRequest, rows: list[EncodedText], cached: int) -> EncodeReply:
        vectors = np.stack([row.vector for row in rows])
        norms = row_norms(vectors)
        if off_unit(norms):
            raise ModelFailed(f"{self.component} (a vector is not of unit length)")
        self._note(mean_norm=float(norms.mean()))
        return EncodeReply(
            namespace=request.namespace,
            vectors=Matrix.of(vectors),
            token_counts=[row.seen for row in rows],
            truncated=sum(row.total > row.seen for row in rows),
            cached=cached,
            tokens=_token_vectors(rows) if request.tokens else None,
            sparse=self._sparse_vectors(rows, request.sparse),
        )

    def _sparse_vectors(self, rows: list[EncodedText], kind: Kind | None) -> SparseVectors | None:
        """Return the rows' sparse vectors cut to what a text of that kind keeps; None without a model."""
        if kind is None or self.sparse is None:
            return None
        pruning = self.sparse.pruning
        kept = [pruning.kept(row.sparse, kind) for row in rows if row.sparse is not None]
        return SparseVectors.of(self.sparse.space, kept)

    def _note(self, mean_norm: float) -> None:
        ENCODER_NORM.labels(self.component).set(mean_norm)
        self.sampler.identity.facts.update(
            mean_norm=mean_norm,
            cache_entries=len(self.cache),
            cache_hit_ratio=round(self.cache.hit_ratio, 4),
        )

    def _count(self, reply: EncodeReply, context: RequestContext) -> None:
        texts = len(reply.token_counts)
        ENCODER_TEXTS.labels(self.component).inc(texts)
        ENCODER_TOKENS.labels(self.component).inc(sum(reply.token_counts))
        ENCODER_CACHE.labels(self.component, "hit").inc(reply.cached)
        ENCODER_CACHE.labels(self.component, "miss").inc(texts - reply.cached)
        self._count_work(texts - reply.cached)
        if reply.cached < texts:
            self.sampler.bad(ENDPOINT, self.component, context, "cache_miss")
        if reply.truncated:
            self._count_overflow("truncate", reply.truncated, context)

    def _count_work(self, computed: int) -> None:
        self._computed += computed
        busy_s, self._told_s = self._busy_s - self._told_s, self._busy_s
        ENCODER_BUSY.labels(self.component).inc(busy_s)
        self.sampler.identity.facts.update(
            {f"texts.{self.component}": self._computed, f"busy_s.{self.component}": self._busy_s}
        )

    def _count_refusal(self, refusal: CallerError, context: RequestContext) -> None:
        if isinstance(refusal, TokenBudgetExceeded):
            self._count_overflow("reject", 1, context)

    def _count_overflow(self, policy: str, count: int, context: RequestContext) -> None:
        ENCODER_OVERFLOW.labels(self.component, policy).inc(count)
        self.sampler.bad(ENDPOINT, self.component, context, "token_overflow", count)


def _accepted(results: Sequence[Result]) -> list[EncodedText]:
    """Return the texts' rows, or raise the first refusal."""
    rows = []
    for result in results:
        if isinstance(result, CallerError):
            raise result
        rows.append(result)
    return rows


def _token_vectors(rows: list[EncodedText]) -> TokenVectors | None:
    """Stack the token vectors; None when the backend gives none."""
    matrices = [row.tokens for row in rows if row.tokens is not None]
    if len(matrices) < len(rows):
        return None
    return TokenVectors(
        matrix=Matrix.of(np.concatenate(matrices)), counts=[len(m) for m in matrices]
    )
