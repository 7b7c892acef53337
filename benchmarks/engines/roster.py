"""Who takes part in the search comparison, what pip calls it, and how a process of it is started."""

import importlib
from dataclasses import dataclass

from benchmarks.engines.engine import Engine

NUMPY = "numpy==2.4.6"


@dataclass(frozen=True, slots=True)
class Entry:
    """One engine."""

    name: str
    """For the report."""
    module: str
    """Below ``benchmarks.engines``; the only one that imports the engine. Its class is ``Index``."""
    requirements: tuple[str, ...] = ()
    """What its own environment holds; empty runs in ours."""


OURS = "ours"

ROSTER = {
    OURS: Entry("our index in process", "ours"),
    "faiss": Entry("bare faiss", "bare_faiss"),
    "usearch": Entry("usearch", "usearch_graph", ("usearch==2.26.6", NUMPY)),
    "milvus-lite": Entry(
        "milvus-lite 3.2.2", "milvus_lite", ("milvus-lite==3.2.2", "pymilvus==3.0.2", NUMPY)
    ),
    "milvus-lite-2": Entry(
        "milvus-lite 2.5.1", "milvus_lite", ("milvus-lite==2.5.1", "pymilvus==2.6.17", NUMPY)
    ),
    "qdrant-edge": Entry("qdrant-edge", "qdrant_edge", ("qdrant-edge-py==0.9.0", NUMPY)),
    "lancedb": Entry("LanceDB", "lance", ("lancedb==0.40.0", NUMPY)),
}
"""By the name that ``--peers`` takes. milvus-lite was written anew in Python with version 3: both are here."""

PEERS = tuple(name for name in ROSTER if name != OURS)


def engine(name: str) -> Engine:
    """Return an engine that is neither built nor open.

    Raises:
        ImportError: this environment does not hold it.
    """
    module = importlib.import_module(f"benchmarks.engines.{ROSTER[name].module}")
    found: Engine = module.Index()
    return found
