"""Indexes that a component brings along: trained elsewhere and empty, so that every worker has the same lists.

``indexes.json`` lists them; each is a file of its kind that a worker fills with the vectors it holds. What a
component brings for no collection, or for one of another space, is trained by the worker from its plan's rule.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from services.retriever.dense.index import Kind
from trimtab.contracts.retrieve import CollectionName

INDEXES = "indexes.json"


class TrainedIndex(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One of them: what it was trained for and on, and what was measured before it was published."""

    collection: CollectionName
    """Which passages it is for."""
    namespace: str
    """Space of its vectors."""
    encoder: str
    """Encoder component of the passages it was trained on."""
    kind: Kind
    """The plan's, at the time."""
    metric: Literal["inner_product"] = "inner_product"
    """Of unit vectors, so it is the cosine."""
    dimension: Annotated[int, Meta(ge=1)]
    """Of its vectors."""
    passages: Annotated[int, Meta(ge=0)]
    """In the collection when it was trained."""
    index: str
    """Version of the collection it was trained on: ``collection@sequence``."""
    nlist: Annotated[int, Meta(ge=0)]
    """IVF lists; 0 for a kind without."""
    restarts: Annotated[int, Meta(ge=0)]
    """Runs of k-means of which the tightest was kept; 0 for a kind that runs none."""
    seed: Annotated[int, Meta(ge=0)]
    """Chose the sample."""
    imbalance: float
    """Of the lists, filled with those passages; 0 for a kind without."""
    longest: int
    """Passages in the longest list."""
    least_norm: float
    """Smallest L2 norm of a vector it was trained on."""
    greatest_norm: float
    """Greatest."""
    nprobe: int
    """With which it was measured."""
    queries: int
    """Held-out queries it was measured on; 0 when there were none."""
    overlap: float
    """Mean share of the true ten nearest that it found; 1 without queries."""
    file: str
    """Path in the component."""
    truth: str
    """Path in the component of the golden queries and their exact answers; empty without queries."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained index on this machine."""

    record: TrainedIndex
    """What is known of it."""
    path: Path
    """Its verified file."""

    def fits(self, namespace: str, dimension: int) -> bool:
        """Whether it is of a collection's space."""
        return (self.record.namespace, self.record.dimension) == (namespace, dimension)
