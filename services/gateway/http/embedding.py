"""``/v1/embeddings``: many texts through the encoder in messages that fit the bus."""

import asyncio
import base64
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from services.gateway.http.bodies import Embedding, EmbeddingsAnswer, EmbeddingsBody, Usage
from services.gateway.stages import Stages
from trimtab.contracts.encode import EncodeReply, EncodeRequest
from trimtab.contracts.errors import DimensionMismatch

_TEXTS_PER_CALL = 64
_BYTES_PER_CALL = 512 * 1024


def chunks(texts: Sequence[str]) -> Iterator[list[str]]:
    """Split texts so that each chunk holds at most 64 of them and about 512 KiB; order is kept."""
    chunk: list[str] = []
    size = 0
    for text in texts:
        length = len(text.encode(errors="surrogatepass"))
        if chunk and (len(chunk) == _TEXTS_PER_CALL or size + length > _BYTES_PER_CALL):
            yield chunk
            chunk, size = [], 0
        chunk.append(text)
        size += length
    if chunk:
        yield chunk


async def embed(body: EmbeddingsBody, stages: Stages) -> EmbeddingsAnswer:
    """Return the vectors of every text, in order.

    Raises:
        DimensionMismatch: ``dimensions`` is given and not the namespace's.
        UnknownNamespace: no encoder serves ``model`` (raised by the encoder).
    """
    texts = [body.input] if isinstance(body.input, str) else body.input
    calls = [
        stages.encode(EncodeRequest(namespace=body.model, texts=chunk)) for chunk in chunks(texts)
    ]
    replies = await asyncio.gather(*calls)
    vectors = np.concatenate([reply.vectors.array() for reply in replies])
    if body.dimensions is not None and body.dimensions != vectors.shape[1]:
        raise DimensionMismatch(f"namespace {body.model!r}", vectors.shape[1], body.dimensions)
    tokens = _tokens(replies)
    return EmbeddingsAnswer(
        data=[
            Embedding(index=index, embedding=_number_form(vector, body.encoding_format))
            for index, vector in enumerate(vectors)
        ],
        model=body.model,
        usage=Usage(prompt_tokens=tokens, total_tokens=tokens),
    )


def _tokens(replies: Sequence[EncodeReply]) -> int:
    return sum(sum(reply.token_counts) for reply in replies)


def _number_form(vector: NDArray[np.float32], form: str) -> list[float] | str:
    if form == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return [float(number) for number in vector]
