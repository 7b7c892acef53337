"""A model that was brought gives the comparison two more rows; without one there is a line that says how."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality_table import table
from benchmarks.rerank_data import Query, Task
from benchmarks.rerank_pools import Asked, Searcher
from benchmarks.rerank_texts import Texts
from benchmarks.retrieval_quality import SPARSE, THREE, compare, rows
from benchmarks.sparse_texts import MISSING, SparseTexts, brought
from services.encoder.sparse.bring import make
from tests.unit.encoder import checkpoints
from tests.unit.encoder.tiny import VOCABULARY
from tests.unit.retriever.corpora import PLAN, unit
from trimtab.contracts.documents import Document

LETTERS = [" ".join(VOCABULARY[4 + number : 9 + number]) for number in range(20)]
TASK = Task(
    "letters",
    [Document(id=f"p{number}", text=text) for number, text in enumerate(LETTERS)],
    [],
    [Query(text, f"p{number}", f"c{number}") for number, text in enumerate(LETTERS[:6])],
)


class Drawn:
    """Vectors at random in place of an encoder's."""

    component = "drawn@1"

    def passages(self, task: Task) -> Texts:
        count = len(task.documents)
        tokens = np.ones((count, 8), dtype=np.int8)
        return Texts(unit(np.random.default_rng(0), count), tokens, np.ones(count, dtype=np.int64))


@pytest.fixture(scope="module")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> SparseTexts:
    scratch = tmp_path_factory.mktemp("brought")
    make(checkpoints.bert(scratch / "bert"), "tiny@1", scratch / "components")
    found = brought(scratch / "components", scratch / "cache")
    assert found is not None
    return found


def test_without_a_model_nothing_is_brought_and_the_line_says_what_to_do(tmp_path: Path) -> None:
    assert brought(tmp_path) is None
    assert "services.encoder.sparse.bring" in MISSING


def test_the_second_time_vectors_come_from_the_cache(sparse: SparseTexts) -> None:
    first, second = sparse.passages(TASK), sparse.passages(TASK)

    assert len(first) == len(LETTERS)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.ids, other.ids)
        np.testing.assert_array_equal(one.weights, other.weights)
    assert all(len(row.ids) <= 64 for row in sparse.queries(TASK, "test"))


def test_a_model_gives_two_more_rows(sparse: SparseTexts) -> None:
    searcher = Searcher.of(TASK, Drawn(), PLAN, sparse)  # type: ignore[arg-type]
    queries = sparse.queries(TASK, "test")
    vector, tokens = unit(np.random.default_rng(1), 1)[0], np.ones((1, 8), dtype=np.int8)
    asked = Asked(vector, tokens, None, None)

    found = [
        searcher.with_sparse(searcher.pool(query, asked), asked, row)
        for query, row in zip(TASK.test, queries, strict=True)
    ]
    measured = compare("letters, made up", found, rows([], sparse=True))

    assert [way.name for way in rows([])] == [way.name for way in rows([], sparse=True)][:3]
    assert {SPARSE, THREE} <= set(measured.values)
    assert f"| {SPARSE} |" in table(measured)
    exact = sparse.passages(TASK)
    for pool, row in zip(found, queries, strict=True):
        whole = np.zeros(len(VOCABULARY))
        whole[row.ids] = row.weights
        products = [float(whole[each.ids] @ each.weights.astype(np.float16)) for each in exact]
        got = [products[int(name[1:])] for name in pool.sparse]
        assert got == pytest.approx(sorted(products, reverse=True)[: len(got)], rel=1e-3)
