"""Where training gets its passages and vectors: a JSONL file, and a running encoder or a file made earlier.

A service never imports another, so the encoder is asked like by anybody else.
"""

import hashlib
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from nats.aio.client import Client as NatsClient
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from services.retriever.querymodel import Vectors
from services.retriever.querymodel_windows import Place
from trimtab.bus.caller import Caller
from trimtab.contracts import subjects
from trimtab.contracts.encode import EncodeReply, EncodeRequest
from trimtab.contracts.headers import RequestContext, now_ms
from trimtab.contracts.retrieve import PUBLIC_TENANT

_PER_REQUEST = 64
_TIMEOUT_MS = 60_000


class SourceUnusable(Exception):
    """A file of passages or vectors cannot be used; the message says what to do."""


class PassageRow(msgspec.Struct, frozen=True):
    """One line of the file; other fields are ignored."""

    id: str
    """Of the passage."""
    article: str
    """What it belongs to."""
    seq: int
    """Its number in the article's order; windows need numbers that follow one another."""
    text: str
    """What is encoded, below the title when there is one, as an ingest does."""
    title: str = ""
    """Heading."""
    source: str = ""
    """Keeps articles of the same name apart."""

    @property
    def place(self) -> Place:
        """Where it stands."""
        return Place(f"{self.source}/{self.article}", self.seq)

    @property
    def searchable(self) -> str:
        """The text that is encoded."""
        return f"{self.title}\n{self.text}" if self.title else self.text


@dataclass(frozen=True, slots=True)
class Space:
    """Whose vectors are wanted."""

    namespace: str
    """Their space."""
    encoder: str
    """Component that makes them."""


def read_passages(path: Path) -> list[PassageRow]:
    """Return the passages of a JSONL file; raises SourceUnusable."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise SourceUnusable(f"{path.name} cannot be read ({type(error).__name__})") from None
    rows = [_row(path, number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not rows:
        raise SourceUnusable(f"{path.name} holds no passages")
    return rows


async def ask_encoder(
    connection: NatsClient,
    space: Space,
    texts: Sequence[str],
    report: Callable[[int, int], None] = lambda done, of: None,
) -> Vectors:
    """Return (texts, dimension) unit vectors from a running encoder.

    Raises:
        NoWorkers: no worker serves the component.
        TrimtabError: whatever else the encoder or the bus answered.
    """
    caller, subject, parts = Caller(connection), subjects.encode(space.encoder), []
    for start in range(0, len(texts), _PER_REQUEST):
        request = EncodeRequest(
            namespace=space.namespace, texts=list(texts[start : start + _PER_REQUEST])
        )
        context = RequestContext(uuid.uuid4().hex, PUBLIC_TENANT, now_ms() + _TIMEOUT_MS)
        reply = (await caller.call(subject, request, EncodeReply, context)).message
        parts.append(reply.vectors.array())
        report(min(start + _PER_REQUEST, len(texts)), len(texts))
    return np.concatenate(parts).astype(np.float32)


def write_vectors(path: Path, vectors: Vectors, texts: Sequence[str], space: Space) -> None:
    """Keep vectors with a hash of their texts, so that a later training needs no encoder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"vectors": np.ascontiguousarray(vectors)}, path, _about(texts, space))


def read_vectors(path: Path, texts: Sequence[str], space: Space) -> Vectors:
    """Return the vectors of a file that :func:`write_vectors` wrote.

    Raises:
        SourceUnusable: it cannot be read, or was made of other texts or by another encoder.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            vectors: Vectors = file.get_tensor("vectors")
    except (OSError, SafetensorError) as error:
        raise SourceUnusable(f"{path.name} cannot be read ({type(error).__name__})") from None
    if metadata != _about(texts, space) or vectors.shape[:1] != (len(texts),):
        raise SourceUnusable(
            f"{path.name} was made of other texts or by another encoder; make it again with --nats"
        )
    return vectors


def _row(path: Path, number: int, line: bytes) -> PassageRow:
    try:
        return msgspec.json.decode(line, type=PassageRow)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SourceUnusable(f"{path.name}, line {number}: {error}") from None


def _about(texts: Sequence[str], space: Space) -> dict[str, str]:
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    return {"texts": digest, "namespace": space.namespace, "encoder": space.encoder}
