"""Options of building an index that `build` and `rebuild` share, and what they mean to the builder."""

from typing import Annotated

import typer

from trimtab.cli import options
from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import Failure
from trimtab.cli.index.builder import option_words
from trimtab.evaluation.indexkinds import BUILT, foreign

CollectionArgument = Annotated[
    str,
    typer.Argument(callback=options.collection_name, metavar="COLLECTION", help="Which passages."),
]
KindOption = Annotated[
    str | None,
    typer.Option("--kind", metavar="ivf|ivf_pq|hnsw", help="Default: the component's."),
]
NlistOption = Annotated[
    int | None, typer.Option("--nlist", min=1, help="IVF lists; default: the rule.")
]
RuleOption = Annotated[
    float | None,
    typer.Option("--nlist-per-sqrt", min=0.01, max=16.0, help="The rule: this x sqrt(passages)."),
]
NprobeOption = Annotated[
    int | None, typer.Option("--nprobe", min=1, max=65_536, help="Lists visited by default.")
]
RestartsOption = Annotated[
    int | None,
    typer.Option("--restarts", min=1, max=50, help="Runs of k-means; the tightest one is kept."),
]
PartsOption = Annotated[
    int | None, typer.Option("--pq-parts", min=1, help="IVF-PQ: parts of a vector.")
]
BitsOption = Annotated[
    int | None, typer.Option("--pq-bits", min=4, max=12, help="IVF-PQ: bits per part.")
]
RotationOption = Annotated[
    bool | None, typer.Option("--opq/--no-opq", help="IVF-PQ: rotate before coding.")
]
NeighboursOption = Annotated[
    int | None, typer.Option("--hnsw-m", min=4, max=128, help="HNSW: edges per vector.")
]
CareOption = Annotated[
    int | None, typer.Option("--ef-construction", min=8, max=2000, help="HNSW: while putting in.")
]
EffortOption = Annotated[
    int | None, typer.Option("--ef-search", min=8, max=4096, help="HNSW: while searching.")
]
OverlapGate = Annotated[
    float, typer.Option("--min-overlap", min=0.0, max=1.0, help="Mean overlap at 10.")
]
LossGate = Annotated[
    float, typer.Option("--max-loss", min=0.0, help="Of R@5 and Contain@50, percentage points.")
]
ImbalanceGate = Annotated[
    float, typer.Option("--max-imbalance", min=1.0, help="Of the IVF lists; 1 is even.")
]


def words(
    *,
    kind: str | None = None,
    nlist: int | None = None,
    nlist_per_sqrt: float | None = None,
    nprobe: int | None = None,
    restarts: int | None = None,
    pq_parts: int | None = None,
    pq_bits: int | None = None,
    opq: bool | None = None,
    hnsw_m: int | None = None,
    ef_construction: int | None = None,
    ef_search: int | None = None,
    seed: int = 7,
) -> list[str]:
    """Return the words that tell the builder what was given.

    Raises:
        Failure: there is no such kind, or an option is of another kind than the one named.
    """
    if kind is not None and kind not in BUILT:
        problem = f"{kind!r} is no kind of index that is built"
        raise Failure(problem, "write ivf, ivf_pq or hnsw", ExitCode.USAGE)
    rotation = None if opq is None else "on" if opq else "off"
    given = {
        "kind": kind,
        "nlist": nlist,
        "nlist-per-sqrt": nlist_per_sqrt,
        "nprobe": nprobe,
        "restarts": restarts,
        "pq-parts": pq_parts,
        "pq-bits": pq_bits,
        "opq": rotation,
        "hnsw-m": hnsw_m,
        "ef-construction": ef_construction,
        "ef-search": ef_search,
        "seed": seed,
    }
    stated = [name for name, value in given.items() if value is not None]
    wrong = [] if kind is None else foreign(kind, stated)
    if wrong:
        problem = f"--{', --'.join(wrong)} means nothing to {kind}"
        raise Failure(problem, "leave it out, or name another --kind", ExitCode.USAGE)
    return option_words(given)


def next_version(reference: str) -> str:
    """Return the component's next version: its number plus one.

    Raises:
        Failure: its version is no number.
    """
    name, _, version = reference.partition("@")
    if not version.isdigit():
        raise Failure(f"{reference} has no numbered version to go on from", "name one with --name")
    return f"{name}@{int(version) + 1}"
