"""Builds a trained index: ``python -m services.retriever.build_index --bundle FOLDER --base FOLDER --out FOLDER``.

`trimtab index build` runs it, for faiss is the retriever's. Progress and the result go to stdout as JSON lines:
``{"progress": what, "done": n, "of": m}``, then ``{"built": {...}}`` or ``{"problem": why}``.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec

from services.retriever.component import load_component
from services.retriever.dense.flat import use_one_thread
from services.retriever.dense.index import Uncodable
from services.retriever.dense.indexbuild import Built, Order, Unbuildable, build
from services.retriever.plan import Plan
from trimtab.artifacts.manifest import ArtifactError
from trimtab.evaluation.indexkinds import foreign
from trimtab.evaluation.vectorbundle import read_bundle


def parser() -> argparse.ArgumentParser:
    """Return the command line; what is not given is as the base component has it."""
    made = argparse.ArgumentParser(
        prog="python -m services.retriever.build_index", description=__doc__
    )
    made.add_argument("--bundle", type=Path, required=True, help="vectors and queries")
    made.add_argument("--base", type=Path, required=True, help="component to start from")
    made.add_argument("--out", type=Path, required=True, help="folder of the new component")
    made.add_argument("--name", required=True, help="name@version of it")
    made.add_argument("--kind", choices=("ivf", "ivf_pq", "hnsw"), help="kind of index")
    made.add_argument("--nlist", type=int, help="IVF lists; default: the rule")
    made.add_argument("--nlist-per-sqrt", type=float, help="the rule")
    made.add_argument("--nprobe", type=int, help="lists visited by default")
    made.add_argument("--restarts", type=int, help="runs of k-means")
    made.add_argument("--refine", type=int, help="estimates per result that are scored again")
    made.add_argument("--pq-parts", type=int, help="bytes per code with 8 bits")
    made.add_argument("--pq-bits", type=int, help="bits per part")
    made.add_argument("--opq", choices=("on", "off"), help="rotate before coding")
    made.add_argument("--hnsw-m", type=int, help="edges per vector")
    made.add_argument("--ef-construction", type=int, help="care while putting in")
    made.add_argument("--ef-search", type=int, help="effort while searching")
    made.add_argument("--seed", type=int, default=7, help="default %(default)s")
    return made


def planned(base: Plan, given: argparse.Namespace) -> Plan:
    """Return the base's plan with what was given replaced.

    Raises:
        Unbuildable: a number is out of its bounds, or an option is of another kind of index.
    """
    index = base.index
    if index.kind == "flat" and given.kind is None:
        index = msgspec.structs.replace(index, kind="ivf")
    _refuse_foreign(given.kind or index.kind, given)
    pq = _with(index.pq, parts=given.pq_parts, bits=given.pq_bits, rotated=_flag(given.opq))
    hnsw = _with(
        index.hnsw, neighbours=given.hnsw_m, care=given.ef_construction, effort=given.ef_search
    )
    index = _with(
        index, kind=given.kind, restarts=given.restarts, refine=given.refine, pq=pq, hnsw=hnsw
    )
    dense = _with(base.dense, nprobe=given.nprobe, nlist_per_sqrt=given.nlist_per_sqrt)
    made = msgspec.structs.replace(base, dense=dense, index=index)
    try:
        return msgspec.convert(msgspec.to_builtins(made), Plan)
    except msgspec.ValidationError as error:
        raise Unbuildable(f"no plan: {error}") from None


def shape(built: Built) -> dict[str, Any]:
    """Return the result as it is printed."""
    overlap, norms = built.measured.overlap, built.norms.facts()
    return {
        "component": built.manifest.reference,
        "hash": built.manifest.hash,
        "bytes": sum(entry.size for entry in built.manifest.files.values()),
        "record": msgspec.to_builtins(built.record),
        "lists": built.lengths,
        "hottest": built.shape.hottest,
        "norms": msgspec.to_builtins(norms),
        "overlap": None if overlap is None else overlap.shape(),
        "members_left_out": built.measured.members,
        "losses": built.measured.losses,
        "judged": built.measured.judged,
        "dropped": built.dropped,
    }


def main() -> int:
    """Run the command; 1 when nothing could be built."""
    use_one_thread()
    given = parser().parse_args()
    try:
        base = load_component(given.base)
        order = Order(given.name, planned(base.plan, given), given.nlist, given.seed)
        built = build(read_bundle(given.bundle), base, given.base, order, given.out, _report)
    except (Unbuildable, Uncodable, ArtifactError) as problem:
        _say({"problem": str(problem)})
        return 1
    except FileExistsError:
        _say({"problem": f"{given.out.name} exists already; name another folder"})
        return 1
    _say({"built": shape(built)})
    return 0


def _refuse_foreign(kind: str, given: argparse.Namespace) -> None:
    words = [name.replace("_", "-") for name, value in vars(given).items() if value is not None]
    wrong = foreign(kind, words)
    if wrong:
        raise Unbuildable(f"--{', --'.join(wrong)} is not for {kind}, the component's kind")


def _report(what: str, done: int, of: int) -> None:
    _say({"progress": what, "done": done, "of": of})


def _say(line: dict[str, Any]) -> None:
    print(msgspec.json.encode(line).decode(), flush=True)  # noqa: T201 - a command


def _flag(given: str | None) -> bool | None:
    return None if given is None else given == "on"


def _with(struct: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(struct, **{k: v for k, v in changes.items() if v is not None})


if __name__ == "__main__":
    sys.exit(main())
