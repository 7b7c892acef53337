"""Where training gets its vectors: from a running encoder over NATS, or from a file made earlier.

A service never imports another, so the encoder is asked like by anybody else.
"""

import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from nats.aio.client import Client as NatsClient
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from services.mapper.adapter import Array
from services.mapper.corpus import texts_hash
from trimtab.bus.caller import Caller
from trimtab.contracts import subjects
from trimtab.contracts.encode import EncodeReply, EncodeRequest
from trimtab.contracts.headers import RequestContext, now_ms
from trimtab.contracts.retrieve import PUBLIC_TENANT

_PER_REQUEST = 64
_TIMEOUT_MS = 60_000


class VectorsUnusable(Exception):
    """A file of vectors is not of these texts or this space; the message says what to do."""


async def ask_encoder(
    connection: NatsClient, component: str, namespace: str, texts: Sequence[str]
) -> Array:
    """Return (texts, dimension) unit vectors from a running encoder.

    Raises:
        NoWorkers: no worker serves the component.
        TrimtabError: whatever else the encoder or the bus answered.
    """
    caller, parts = Caller(connection), []
    for start in range(0, len(texts), _PER_REQUEST):
        request = EncodeRequest(
            namespace=namespace, texts=list(texts[start : start + _PER_REQUEST])
        )
        context = RequestContext(uuid.uuid4().hex, PUBLIC_TENANT, now_ms() + _TIMEOUT_MS)
        subject = subjects.encode(component)
        reply = (await caller.call(subject, request, EncodeReply, context)).message
        parts.append(reply.vectors.array())
    return np.concatenate(parts).astype(np.float32)


def write_vectors(path: Path, vectors: Array, texts: Sequence[str], namespace: str) -> None:
    """Keep vectors with a hash of their texts, so that a later training can use them offline."""
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"texts": texts_hash(texts), "namespace": namespace}
    save_file({"vectors": np.ascontiguousarray(vectors)}, path, metadata)


def read_vectors(path: Path, texts: Sequence[str], namespace: str) -> Array:
    """Return the vectors of a file.

    Raises:
        VectorsUnusable: it cannot be read, or was made of other texts or in another space.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            vectors: Array = file.get_tensor("vectors")
    except (OSError, SafetensorError) as error:
        raise VectorsUnusable(f"{path.name} cannot be read ({type(error).__name__})") from None
    if metadata != {"texts": texts_hash(texts), "namespace": namespace}:
        raise VectorsUnusable(
            f"{path.name} was made of other texts or in another space; make it again with --nats"
        )
    return vectors
