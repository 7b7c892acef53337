"""The component this service serves: how candidates are found and fused, as a file with a checksum."""

import math
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from services.retriever.dense.index import Kind
from trimtab.artifacts.manifest import ArtifactCorrupt, Manifest, verify
from trimtab.contracts.retrieve import EVERY_LIST

FILE = "retriever.json"

SHIPPED = Path(__file__).parent / "components"
"""Components that come with the code, by reference."""


class DensePlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How vectors are searched.

    Measured on 24,000 passages of documentation (MiniLM, 384 dimensions) and 600 held-out queries, one thread:
    FLAT takes 1.5 ms, and grows by 0.7 ms per 10,000. Of IVF-Flat with sqrt(N) lists nprobe 8 finds 0.79 of the
    true ten and loses 10.8 points of R@5; at overlap 0.95 (nprobe 32) it still loses 2.7, and what loses less
    than half a point visits over half of the lists and is twice as fast as FLAT, no more: such vectors have
    hardly any clusters. HNSW with efSearch 256 finds 0.998, loses nothing of R@5, and takes 0.5 ms.
    """

    flat_below: Annotated[int, Meta(ge=1)]
    """Passages from which an index is built; the shipped 30,000 take FLAT about 2 ms, and it misses nothing."""
    nlist_per_sqrt: Annotated[float, Meta(gt=0, le=16)]
    """IVF lists = this times the square root of the passages: 1 is what k-means and a scan of the centroids
    afford; fewer lists miss less at the same nprobe, and each visit takes longer."""
    nprobe: Annotated[int, Meta(ge=1, le=EVERY_LIST)]
    """How hard to look unless a request or an operator says otherwise: IVF lists visited, and in proportion the
    nodes that a graph keeps in view, so that 4 is faster and 12 finds more whatever the kind."""


class PqPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Codes of IVF-PQ."""

    parts: Annotated[int, Meta(ge=1, le=4096)] = 48
    """Parts of a vector, and with 8 bits the bytes of its code; the dimension must be a multiple."""
    bits: Annotated[int, Meta(ge=4, le=12)] = 8
    """Per part."""
    rotated: bool = True
    """Whether a rotation (OPQ) makes the parts equally hard to code first."""


class HnswPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A graph's three constants, by their usual names M, efConstruction and efSearch."""

    neighbours: Annotated[int, Meta(ge=4, le=128)] = 32
    """Edges per vector."""
    care: Annotated[int, Meta(ge=8, le=2000)] = 100
    """Nodes in view while a vector is put in."""
    effort: Annotated[int, Meta(ge=8, le=4096)] = 64
    """Nodes in view while one is searched for with nprobe 8; another nprobe changes it in proportion. The shipped
    256 keep Contain@50 too: with 64, overlap@10 is 0.98 while 2.5 points of Contain@50 are lost (measured)."""


class IndexPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which kind of index stands beside FLAT, and how it is made."""

    kind: Kind = "ivf"
    """``flat`` stays exact however large the collection gets."""
    restarts: Annotated[int, Meta(ge=1, le=50)] = 1
    """Runs of k-means for as many times the training. The one whose vectors lie nearest to their centroids is
    kept, whose lists need not be the evenest: an imbalance of 1.27, 1.29 and 1.30 was measured at 1, 2 and 4."""
    refine: Annotated[int, Meta(ge=1, le=64)] = 4
    """Estimates per result that are scored again from the true vectors, of a kind that keeps codes."""
    pq: PqPlan = PqPlan()
    """For ``ivf_pq``."""
    hnsw: HnswPlan = HnswPlan()
    """For ``hnsw``."""


class LexicalPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """BM25's two constants (Robertson and Zaragoza, 2009)."""

    k1: Annotated[float, Meta(ge=0, le=10)]
    """Saturation of a repeated term."""
    b: Annotated[float, Meta(ge=0, le=1)]
    """How much long passages are discounted."""


Leg = Literal["dense", "words", "sparse"]
"""A way to find candidates: by vectors, by words, by learned sparse vectors."""


class FusionPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the lists become one."""

    method: Literal["blend", "rrf"]
    """``blend``: cosine + lexical_weight * bm25 / max bm25, and the same for sparse; ``rrf``: reciprocal ranks."""
    lexical_weight: Annotated[float, Meta(ge=0, le=10)]
    """For ``blend``."""
    sparse_weight: Annotated[float, Meta(ge=0, le=10)] = 0.4
    """For ``blend``, where sparse vectors are searched."""
    rrf_k: Annotated[float, Meta(gt=0, le=1000)]
    """For ``rrf``."""
    depth: Annotated[int, Meta(ge=1, le=1000)]
    """Candidates taken from each list, or the request's limit when that is more."""


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that decides which candidates come out."""

    legs: Annotated[tuple[Leg, ...], Meta(min_length=1, max_length=3)] = ("dense", "words")
    """Lists that candidates come from and that their order is made of, each once. Without the sparse vectors that
    it names, or in a plan of these alone, a search goes on with the others, or with the vectors."""

    dense: DensePlan
    """Vectors."""
    index: IndexPlan = IndexPlan()
    """What finds them approximately; lists as ever in a component that does not say."""
    lexical: LexicalPlan
    """Words."""
    fusion: FusionPlan
    """All of them."""
    low_cosine: Annotated[float, Meta(ge=-1, le=1)]
    """A best cosine below it is counted as the bad event ``low_cosine``."""

    def __post_init__(self) -> None:
        if len(set(self.legs)) < len(self.legs):
            raise ValueError("legs names one twice")


def nlist_for(passages: int, per_sqrt: float = 1.0) -> int:
    """Return how many IVF lists a collection of that size gets: that many times its square root."""
    return max(1, round(per_sqrt * math.sqrt(passages)))


def load_plan(folder: Path) -> tuple[Plan, Manifest]:
    """Verify a component folder and return its plan.

    Raises:
        ArtifactError: a checksum differs, a file is missing or the plan does not fit.
    """
    manifest = verify(folder)
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Plan), manifest
    except (OSError, msgspec.DecodeError) as error:
        raise ArtifactCorrupt(manifest.reference, FILE, f"does not parse: {error}") from None
