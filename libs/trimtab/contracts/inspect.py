"""Operator -> retriever: what a collection's index really is, for those who verify it."""

from typing import Annotated, Literal

from msgspec import Meta

from trimtab.contracts.message import Message
from trimtab.contracts.retrieve import CollectionName
from trimtab.contracts.tensor import Matrix

MAX_SAMPLE = 256
"""Most stored vectors in one reply."""

NORM_TOLERANCE = 1e-5
"""How far a vector's L2 norm may be from 1 (runbook 5, risk 3)."""


class InspectRequest(Message, frozen=True, kw_only=True):
    """Operator -> retriever (``trimtab.v1.inspect.<component>``); the tenant travels in the header."""

    collection: CollectionName
    """Which."""
    sample: Annotated[int, Meta(ge=0, le=MAX_SAMPLE)] = 0
    """Stored vectors wanted, of passages that the tenant may see."""
    seed: Annotated[int, Meta(ge=0, le=4_294_967_295)] = 0
    """Chooses them: the same seed over the same passages gives the same ones."""
    tolerance: Annotated[float, Meta(gt=0, le=1)] = NORM_TOLERANCE
    """Distance of a norm from 1 beyond which it is counted."""


class NormFacts(Message, frozen=True, kw_only=True):
    """L2 norms of many vectors."""

    count: Annotated[int, Meta(ge=0)]
    """Vectors looked at."""
    least: float
    """Smallest norm; 1 without vectors."""
    greatest: float
    """Greatest norm; 1 without vectors."""
    mean: float
    """Mean norm; 1 without vectors."""
    beyond: Annotated[int, Meta(ge=0)]
    """Vectors whose norm differs from 1 by more than the tolerance, or is no number."""


class StoredSample(Message, frozen=True, kw_only=True):
    """Some stored vectors, to be searched for themselves."""

    ids: list[str]
    """The producer's ids of the passages."""
    vectors: Matrix
    """(ids, dimension) f32."""


class InspectReply(Message, frozen=True, kw_only=True):
    """Retriever -> operator: facts of one component's index over a collection, as one worker holds it."""

    collection: CollectionName
    """Echo of the request's."""
    index: str
    """Version of the index: ``collection@sequence``."""
    namespace: str
    """Space of the vectors."""
    encoder: str
    """Encoder component of its first passage."""
    kind: Literal["flat", "ivf", "ivf_pq", "hnsw", "milvus"]
    """``flat`` answers exactly; ``milvus``: the vectors live there, behind an index of its own."""
    metric: Literal["inner_product"]
    """Of unit vectors, so it is the cosine."""
    dimension: Annotated[int, Meta(ge=1)]
    """Of the vectors."""
    sequence: Annotated[int, Meta(ge=0)]
    """Stream sequence applied."""
    passages: Annotated[int, Meta(ge=0)]
    """Passages searchable, of all tenants."""
    listed: Annotated[int, Meta(ge=0)]
    """Vectors in the index; must equal ``passages``. 0 for ``flat``."""
    nprobe: Annotated[int, Meta(ge=1)]
    """Lists visited when neither a request nor an operator says otherwise."""
    lists: list[int]
    """Length of each IVF list, longest first; empty for a kind without lists."""
    indexed: Annotated[int, Meta(ge=0)] = 0
    """Passages when the index was trained; 0 for ``flat``, and when nobody wrote it down."""
    dead: Annotated[int, Meta(ge=0)] = 0
    """Entries that are replaced or removed and still take room."""
    advice: str = ""
    """What should be done, why, and the command; empty when the index is well."""
    imbalance: Annotated[float, Meta(ge=0)]
    """How uneven the lists are: 1 is even; 0 for a kind without lists."""
    stored: NormFacts
    """Of the vectors that answer exactly."""
    copies: NormFacts | None
    """Of the vectors in the IVF lists; None for a kind that keeps none there."""
    models: dict[str, NormFacts] = {}
    """Query model -> its outputs for some windows of passages that follow each other; only models of this space."""
    snapshot: str
    """sha256 of the manifest of the newest snapshot on disk; empty without one."""
    snapshot_sequence: Annotated[int, Meta(ge=0)]
    """Stream sequence that the snapshot holds; 0 without one."""
    sample: StoredSample | None
    """As asked for, or fewer where the reply would not fit a message; None when none was asked for."""
