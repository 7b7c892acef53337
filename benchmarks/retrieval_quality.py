"""How well searches find what is right, way by way, beside the trivial ways: ``python -m benchmarks.retrieval_quality``.

Labelled queries whose actors or articles no training saw: techniques of ``attack`` asked by behaviours, passages
of ``opsdocs`` asked by their own first sentence, both in one collection, and the standard library, of which
nothing at all was trained on. Every order is of the serving code. Then the next passage of an article, which is
what query models are for. Metrics are those of `trimtab eval`; intervals draw whole actors or articles.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec

from benchmarks import arguments, query_models, report
from benchmarks.figure import AT_LEAST, Aim, Figure
from benchmarks.quality_table import JUDGED, SHOWN, Measured, table
from benchmarks.query_windows import read
from benchmarks.rerank_data import DataMissing, Task, mixed, tasks, unseen
from benchmarks.rerank_pools import Pool, pools, serving_plan
from benchmarks.rerank_texts import Encoder
from benchmarks.rerank_train import COMPONENTS, DEFAULT
from benchmarks.sparse_texts import MISSING, SparseTexts, brought
from services.reranker.component import SHIPPED, Component, load_component
from services.reranker.ranking import rank
from services.retriever.querymodel.windows import Windows
from trimtab.contracts.retrieve import LAST_VEC, Signals
from trimtab.evaluation.bootstrap import Clusters
from trimtab.evaluation.metrics import measure

DENSE, WORDS, HYBRID = "dense", "BM25", "hybrid"
SPARSE, THREE = "sparse", "hybrid + sparse"
_SEARCH = f"+ {DEFAULT}"
"""The default search: hybrid, and the default reranker."""
_SEED = 7

Way = Callable[[Pool], list[str]]
"""Ids of one query's results, best first."""


@dataclass(frozen=True, slots=True)
class Row:
    """One way to search, and what it is compared with."""

    name: str
    """For people."""
    way: Way
    """Makes the order."""
    baseline: str
    """Row that it must beat to be worth anything; empty for the first."""


def rows(components: Sequence[Component], *, sparse: bool = False) -> list[Row]:
    """Return every way to search, each after what it is compared with; ``sparse``: whether there is a model of it."""
    found = [
        Row(DENSE, lambda pool: pool.nearest, ""),
        Row(WORDS, lambda pool: pool.lexical, DENSE),
        Row(HYBRID, lambda pool: pool.ids, DENSE),
    ]
    if sparse:
        found.append(Row(SPARSE, lambda pool: pool.sparse, DENSE))
        found.append(Row(THREE, lambda pool: pool.three, HYBRID))
    for each in components:
        if not each.wants_session:
            found.append(Row(f"+ {each.reference}", _by(each, _alone), HYBRID))
        if each.reference == DEFAULT:
            found.append(Row(f"+ {DEFAULT}, no MaxSim", _by(each, _without_maxsim), HYBRID))
    for each in components:
        if each.wants_session:
            name = f"+ {each.reference}"
            found += [
                Row(f"{name}, no session", _by(each, _alone), _SEARCH),
                Row(f"{name}, session", _by(each, lambda pool: pool.signals), _SEARCH),
                Row(f"{name}, session of another subject", _by(each, _astray), _SEARCH),
            ]
    return found


def compare(title: str, found: Sequence[Pool], ways: Sequence[Row]) -> Measured:
    """Search every query in every way."""
    relevant = [[pool.query.relevant] for pool in found]
    values = {row.name: measure([row.way(pool) for pool in found], relevant) for row in ways}
    names = [pool.query.cluster for pool in found]
    size = f"{len(names)} queries of {len(set(names))} clusters"
    whole = [(_SEARCH, DENSE)] if _SEARCH in values else []
    pairs = whole + [(row.name, row.baseline) for row in ways if row.baseline]
    return Measured(title, size, values, pairs, Clusters(names, _SEED))


def figures(measured: Measured) -> list[Figure]:
    """Return the default search over the vectors alone, with its aim, and every reranker over its baseline."""
    aim = Aim(AT_LEAST, 5.0) if measured.title.startswith(("attack", "opsdocs")) else None
    found = [_figure(measured, _SEARCH, DENSE, aim)]
    return found + [_figure(measured, *pair) for pair in measured.pairs if pair[1] != DENSE]


def next_passages(*, quick: bool, most: int) -> Measured:
    """Return what query models found, each compared with both that need no training.

    Raises:
        DataMissing: the file is not there.
    """
    passages = read()
    found = passages.windows("test")
    step = max(1, -(-len(found.rows) // most))
    windows = Windows(found.rows[::step], found.articles[::step])
    ways = query_models.baselines() | query_models.models(passages, quick=quick)
    compared = query_models.compare(passages, windows, ways)
    first, second = query_models.BASELINES
    return Measured(
        "opsdocs, the next passage of an article after five, test articles",
        f"{len(windows.rows)} windows of {len(set(windows.articles))} articles",
        {name: {metric: compared.values(name, metric) for metric in SHOWN} for name in ways},
        [
            *((name, first) for name in ways if name != first),
            *((name, second) for name in ways if name not in query_models.BASELINES),
        ],
        Clusters(windows.articles, _SEED),
    )


def _by(component: Component, told: Callable[[Pool], Signals]) -> Way:
    def way(pool: Pool) -> list[str]:
        return [pool.ids[place] for place in rank(told(pool), component).reply.order]

    return way


def _alone(pool: Pool) -> Signals:
    return msgspec.structs.replace(pool.signals, session=None)


def _without_maxsim(pool: Pool) -> Signals:
    return msgspec.structs.replace(pool.signals, session=None, maxsim=None)


def _astray(pool: Pool) -> Signals:
    return msgspec.structs.replace(pool.signals, session=pool.foreign)


def _figure(measured: Measured, name: str, baseline: str, aim: Aim | None = None) -> Figure:
    found = measured.over(name, baseline)
    collection = measured.title.partition(",")[0]
    return Figure(
        name=f"{collection}: {name.removeprefix('+ ')} {JUDGED} over {baseline.removeprefix('+ ')}",
        unit="pp",
        value=100 * found.mean,
        low=100 * found.low,
        high=100 * found.high,
        rounds=1,
        n=measured.clusters.queries,
        aim=aim,
    )


def _collections(most: int, sparse: SparseTexts | None) -> list[Measured]:
    learnt = [replace(task, test=task.test[:most]) for task in tasks()]
    searched: list[tuple[str, Task]] = [
        ("attack, held-out actors", learnt[0]),
        ("opsdocs, held-out articles", learnt[1]),
        ("mixed, both in one collection", mixed(learnt)),
        ("stdlib, nothing of it trained on", replace(unseen(), test=unseen().test[:most])),
    ]
    encoder, plan = Encoder(), serving_plan().plan
    components = [load_component(SHIPPED / reference) for reference in COMPONENTS]
    ways = rows(components, sparse=sparse is not None)
    return [
        compare(title, pools(task, "test", encoder, plan, sparse), ways) for title, task in searched
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables; 0 when done, 2 when the data is not there."""
    given = arguments.read("retrieval_quality", __doc__, rounds=1, requests=10_000, argv=argv)
    machine = report.begin("retrieval_quality")
    try:
        sparse = brought()
        measured = _collections(given.requests, sparse)
        models = next_passages(quick=given.quick, most=given.requests)
    except DataMissing as missing:
        print(missing, file=sys.stderr)
        return 2
    done = report.Report(
        benchmark="retrieval_quality",
        command=given.command,
        machine=machine,
        figures=[figure for each in measured for figure in figures(each)],
        notes=[
            *(table(each) for each in (*measured, models)),
            *([] if sparse is not None else [MISSING]),
            "Percent, and differences in points, each with a 95 % interval: 4,000 draws of whole actors or articles. "
            "A search stands beside the trivial way before it: a reranker beside the order that it got, the one with "
            "sessions beside the default. Sessions are consecutive questions of one article, or behaviours of one "
            "actor, the three before each: a person strays more. `hybrid` is dense and BM25 fused; the default "
            f"search is it and {DEFAULT}. `{LAST_VEC}` searches with the query's own vector, as dense does.",
        ],
    )
    report.show(done, given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
