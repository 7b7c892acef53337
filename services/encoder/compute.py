"""What happens in the model's thread: texts become tokens, tokens are counted, the model runs once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from services.encoder.backend import BatchLimits, EncoderBackend
from services.encoder.cache import EncodedText
from services.encoder.tokenizer import Fitted, check_tokens, fit
from trimtab.contracts.encode import Overflow
from trimtab.contracts.errors import CallerError
from trimtab.contracts.sparse import SparseRow
from trimtab.worker.batching import take


@dataclass(frozen=True, slots=True)
class Job:
    """Some texts of one request."""

    texts: tuple[str, ...]
    """Not blank."""
    indexes: tuple[int, ...]
    """Place of each in its request, for errors."""
    overflow: Overflow
    """The request's policy."""
    tokens: bool
    """Whether the request wants token vectors."""
    sparse: bool = False
    """Whether the request wants learned sparse vectors."""


Result = EncodedText | CallerError
"""Of one text: a text that is refused does not fail its neighbours of other requests."""


def slices(costs: Sequence[int], limits: BatchLimits) -> list[slice]:
    """Cut texts, given by their estimated tokens, into consecutive parts within the limits."""
    parts, start = [], 0
    while start < len(costs):
        stop = start + take(costs[start:], limits.texts, limits.tokens)
        parts.append(slice(start, stop))
        start = stop
    return parts


class MakesSparse(Protocol):
    """A model of learned sparse vectors."""

    def encode(self, texts: Sequence[str]) -> list[SparseRow]:
        """Return the vector of each text.

        Raises:
            ModelFailed: the model failed.
        """


def compute(
    backend: EncoderBackend, jobs: Sequence[Job], model: MakesSparse | None = None
) -> list[list[Result]]:
    """Return the results of every job, in order; without a ``model`` none has a sparse vector.

    Raises:
        TrimtabError: the backend failed; every job of the batch fails with it.
    """
    results: list[list[Result]] = []
    for tokens in (False, True):
        chosen = [job for job in jobs if job.tokens == tokens]
        results.extend(_compute(backend, chosen, tokens=tokens))
    order = [i for tokens in (False, True) for i, job in enumerate(jobs) if job.tokens == tokens]
    ordered = [
        result for _, result in sorted(zip(order, results, strict=True), key=lambda pair: pair[0])
    ]
    if model is None:
        return ordered
    return [
        _with_sparse(model, job, row) if job.sparse else row
        for job, row in zip(jobs, ordered, strict=True)
    ]


def _with_sparse(model: MakesSparse, job: Job, results: list[Result]) -> list[Result]:
    """Return the results of one job with the sparse vectors of the texts that were accepted."""
    accepted = zip(job.texts, results, strict=True)
    made = iter(model.encode([text for text, row in accepted if isinstance(row, EncodedText)]))
    return [
        replace(row, sparse=next(made)) if isinstance(row, EncodedText) else row for row in results
    ]


def _compute(backend: EncoderBackend, jobs: Sequence[Job], *, tokens: bool) -> list[list[Result]]:
    fitted = [_fit(backend, job) for job in jobs]
    accepted = [text for row in fitted for text in row if isinstance(text, Fitted)]
    if not accepted:
        return [[text for text in row if isinstance(text, CallerError)] for row in fitted]
    encoded = backend.encode(
        [text.ids for text in accepted], tokens=tokens and backend.gives_tokens
    )
    small = encoded.tokens or [None] * len(accepted)
    # Copies: a row that stays in the cache must not keep its whole batch alive.
    made = iter(
        EncodedText(vector.copy(), matrix, len(text.ids), text.total)
        for text, vector, matrix in zip(accepted, encoded.vectors, small, strict=True)
    )
    return [[next(made) if isinstance(text, Fitted) else text for text in row] for row in fitted]


def _fit(backend: EncoderBackend, job: Job) -> list[Fitted | CallerError]:
    fitted: list[Fitted | CallerError] = []
    for index, ids in zip(job.indexes, backend.tokenize(job.texts), strict=True):
        try:
            check_tokens(index, len(ids), backend.specials, backend.max_tokens, job.overflow)
        except CallerError as refusal:
            fitted.append(refusal)
        else:
            fitted.append(fit(ids, backend.specials, backend.max_tokens))
    return fitted
