"""Where training gets its vectors: from a running encoder over NATS, or from a file made earlier.

A service never imports another, so the encoder is asked like by anybody else.
"""

import argparse
import hashlib
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nats.aio.client import Client as NatsClient
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from trimtab.bus.caller import Caller
from trimtab.bus.connection import DEFAULT_URL, connect
from trimtab.bus.ending import close
from trimtab.contracts import subjects
from trimtab.contracts.encode import EncodeReply, EncodeRequest
from trimtab.contracts.headers import RequestContext, now_ms
from trimtab.contracts.retrieve import PUBLIC_TENANT

Vectors = NDArray[np.float32]

Advance = Callable[[int, int], None]
"""``advance(done, of)``: texts encoded so far."""

_PER_REQUEST = 64
_TIMEOUT_MS = 60_000


class VectorsUnusable(Exception):
    """A file of vectors cannot be read, or is of other texts or another space; says what to do."""


@dataclass(frozen=True, slots=True)
class Space:
    """Whose vectors are wanted."""

    namespace: str
    """Their space."""
    encoder: str
    """Component that makes them."""


@dataclass(frozen=True, slots=True)
class VectorSource:
    """A file, or the encoder of a deployment."""

    space: Space
    """Whose vectors."""
    nats_url: str
    """Where the encoder is asked."""
    file: Path | None = None
    """Vectors made earlier; asks nobody."""
    keep: Path | None = None
    """Where to keep what the encoder gave."""

    @classmethod
    def from_options(cls, options: argparse.Namespace) -> "VectorSource":
        """Return what the options of :func:`add_options` say."""
        space = Space(options.namespace, options.encoder)
        return cls(space, options.nats, options.vectors, options.keep_vectors)

    async def vectors(
        self, texts: Sequence[str], advance: Advance = lambda done, of: None
    ) -> Vectors:
        """Return (texts, dimension) unit vectors.

        Raises:
            VectorsUnusable: the file cannot be used.
            TrimtabError: what the encoder or the bus answered.
        """
        if self.file is not None:
            return read_vectors(self.file, texts, self.space)
        connection = await connect(self.nats_url, "training")
        try:
            found = await ask_encoder(connection, self.space, texts, advance)
        finally:
            await close(connection)
        if self.keep is not None:
            write_vectors(self.keep, found, texts, self.space)
        return found


def add_options(parser: argparse.ArgumentParser) -> None:
    """Let a training command be told where its vectors come from."""
    parser.add_argument("--nats", default=DEFAULT_URL, help="where a running encoder is asked")
    parser.add_argument("--encoder", default="minilm-int8@1", help="component to ask")
    parser.add_argument("--namespace", default="single_vector.minilm.384.v1", help="its space")
    parser.add_argument("--vectors", type=Path, help="vectors made earlier, instead of --nats")
    parser.add_argument("--keep-vectors", type=Path, help="where to keep the encoder's answers")


async def ask_encoder(
    connection: NatsClient, space: Space, texts: Sequence[str], advance: Advance
) -> Vectors:
    """Return (texts, dimension) unit vectors from a running encoder.

    Raises:
        NoWorkers: no worker serves the component.
        TrimtabError: whatever else the encoder or the bus answered.
    """
    caller, subject, parts = Caller(connection), subjects.encode(space.encoder), []
    for start in range(0, len(texts), _PER_REQUEST):
        some = list(texts[start : start + _PER_REQUEST])
        context = RequestContext(uuid.uuid4().hex, PUBLIC_TENANT, now_ms() + _TIMEOUT_MS)
        request = EncodeRequest(namespace=space.namespace, texts=some)
        reply = (await caller.call(subject, request, EncodeReply, context)).message
        parts.append(reply.vectors.array())
        advance(start + len(some), len(texts))
    return np.concatenate(parts).astype(np.float32)


def write_vectors(path: Path, vectors: Vectors, texts: Sequence[str], space: Space) -> None:
    """Keep vectors with a hash of their texts, so that a later training needs no encoder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"vectors": np.ascontiguousarray(vectors)}, path, _about(texts, space))


def read_vectors(path: Path, texts: Sequence[str], space: Space) -> Vectors:
    """Return the vectors of a file that :func:`write_vectors` wrote.

    Raises:
        VectorsUnusable: it cannot be read, or was made of other texts or by another encoder.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            vectors: Vectors = file.get_tensor("vectors")
    except (OSError, SafetensorError) as error:
        raise VectorsUnusable(f"{path.name} cannot be read ({type(error).__name__})") from None
    if metadata != _about(texts, space) or vectors.shape[:1] != (len(texts),):
        raise VectorsUnusable(
            f"{path.name} was made of other texts or by another encoder; make it again with --nats"
        )
    return vectors


def _about(texts: Sequence[str], space: Space) -> dict[str, str]:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(len(text).to_bytes(4, "little") + text.encode())
    return {"texts": digest.hexdigest(), "namespace": space.namespace, "encoder": space.encoder}
