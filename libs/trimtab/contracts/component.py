"""Component versions and releases: what a stage loads, and what a whole request is served by."""

import hashlib
import re
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from trimtab.contracts.message import Message

ComponentRef = Annotated[
    str, Meta(pattern=r"^[a-z0-9][a-z0-9_.-]*@[A-Za-z0-9.]+\Z", max_length=120)
]
"""``name@version``. A version holds no dash, so the subject token below stays unambiguous."""

_UNSAFE = re.compile(r"[^A-Za-z0-9_=-]")


def subject_token(component: str) -> str:
    """Return the component as one NATS subject token: ``mlp-full@4`` -> ``mlp-full-4``.

    Two components never share a token: a name's dot becomes ``=``, since its underscore is taken.
    """
    name, _, version = component.partition("@")
    return f"{_UNSAFE.sub('_', name.replace('.', '='))}-{_UNSAFE.sub('_', version)}"


Stage = Literal["encode", "retrieve", "rerank", "map"]
"""The field of a release that a worker serves."""

STAGES: Mapping[Stage, str] = {
    "encode": "encoder",
    "retrieve": "retriever",
    "rerank": "reranker",
    "map": "mapper",
}
"""Stage -> service that serves it, in the order of a request."""


class Release(Message, frozen=True, kw_only=True):
    """One component version per stage plus settings: the unit of canary and rollback. Immutable."""

    name: Annotated[str, Meta(min_length=1, max_length=80)]
    """What operators call it, for example ``base``."""
    encode: ComponentRef
    """Component the encode stage must serve."""
    retrieve: ComponentRef
    """Component the retrieve stage must serve."""
    rerank: ComponentRef | None
    """Component the rerank stage must serve; None keeps the retrieval order."""
    map: ComponentRef
    """Component the map stage must serve."""
    namespace: str
    """Encoder namespace of queries and passages, for example ``single_vector.minilm.384.v1``."""
    settings: dict[str, float | int | str | bool] = {}
    """Bounded settings by dotted name, for example ``retriever.nprobe``."""

    @property
    def components(self) -> dict[Stage, str]:
        """Stage -> component; a stage that it leaves out is not named."""
        found = {stage: getattr(self, stage) for stage in STAGES}
        return {stage: component for stage, component in found.items() if component is not None}

    @property
    def hash(self) -> str:
        """First 12 hex digits of the sha256 of the canonical JSON of the whole manifest."""
        canonical = msgspec.json.encode(self, order="deterministic")
        return hashlib.sha256(canonical).hexdigest()[:12]
