"""Whether a query model that is asked for is loaded by a live retriever. Pure.

Retrievers list theirs in the fact ``query_models``. One that has not loaded it searches with the query's own
vector and says so, so this guards against a name that would change nothing.
"""

from collections.abc import Sequence

from trimtab.contracts.orders import Finding
from trimtab.contracts.retrieve import LAST_VEC
from trimtab.contracts.samples import WorkerStatus

FACT = "query_models"
"""Fact of a retriever: references, with a blank between."""


_MORE = (
    "running retrievers load what a release names with its version"
    " (`trimtab release create NAME --setting retriever.impl=MODEL@VERSION`),"
    " and at their start what RETRIEVER_QUERY_MODELS does"
)


def loaded_models(worker: WorkerStatus) -> list[str]:
    """Return the query models that a worker says it has loaded."""
    return str(worker.facts.get(FACT, "")).split()


def query_model_loaded(workers: Sequence[WorkerStatus], asked: str) -> Finding:
    """Return whether one of the live ``workers`` can search with ``asked``, a name or a reference."""
    known = {
        worker.instance: loaded_models(worker)
        for worker in workers
        if worker.service == "retriever"
    }
    holders = sorted(name for name, models in known.items() if _is_among(asked, models))
    ok = asked == LAST_VEC or bool(holders)
    others = ", ".join(dict.fromkeys(model for models in known.values() for model in models))
    detail = (
        f"{asked} on {', '.join(holders) or 'every retriever'}"
        if ok
        else f"no live retriever has loaded {asked}; loaded: {others or 'none'}; {_MORE}"
    )
    return Finding(interlock="query_model", ok=ok, detail=detail)


def _is_among(asked: str, references: Sequence[str]) -> bool:
    return any(asked in (reference, reference.partition("@")[0]) for reference in references)
