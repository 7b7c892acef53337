"""Which options of building an index mean something to which kind of it."""

from collections.abc import Iterable

_LISTS = frozenset({"nlist", "nlist-per-sqrt", "restarts"})
_CODES = frozenset({"pq-parts", "pq-bits", "opq", "refine"})
_GRAPH = frozenset({"hnsw-m", "ef-construction", "ef-search"})

BUILT: dict[str, frozenset[str]] = {"ivf": _LISTS, "ivf_pq": _LISTS | _CODES, "hnsw": _GRAPH}
"""Kind -> its own options, beside those of every kind."""


def foreign(kind: str, given: Iterable[str]) -> list[str]:
    """Return the options among ``given`` that are of other kinds than ``kind``, in their order."""
    others = frozenset().union(*BUILT.values()) - BUILT[kind]
    return [name for name in given if name in others]
