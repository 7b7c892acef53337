"""Which queries are held out of what training saw, and which files say nothing of it."""

from pathlib import Path

import pytest

from trimtab.evaluation.queries import BadQueries, Query
from trimtab.evaluation.trained import held_out, read_trained

QUERIES = [Query(f"q{number}", "text", ("p",), cluster) for number, cluster in enumerate("abbc")]


def file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("names.txt", "b\n\n  z \n"),
        ("passages.jsonl", '{"id": "1", "article": "b"}\n{"id": "2", "article": "z"}\n'),
        ("queries.jsonl", '{"cluster": "b", "text": "x"}\n{"actor": "z"}\n{"cluster": "b"}\n'),
    ],
)
def test_queries_of_articles_that_training_saw_are_left_out_and_counted(
    tmp_path: Path, name: str, text: str
) -> None:
    found = held_out(QUERIES, read_trained(file(tmp_path, name, text)))

    assert [query.id for query in found.queries] == ["q0", "q3"]
    assert found.shape() == {"trained_on": 2, "left_out": 2}


def test_a_query_without_a_cluster_cannot_be_called_held_out() -> None:
    with pytest.raises(BadQueries, match=r"query 9 names no cluster.*; write"):
        held_out([*QUERIES, Query("9", "text", ("p",))], frozenset({"b"}))


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.txt", "\n \n", "names no article"),
        ("a.jsonl", '{"id": "1"}\n', "a.jsonl:1: no article"),
        ("a.jsonl", '{"article": "b"}\nb\n', "a.jsonl:2"),
    ],
)
def test_a_file_that_names_no_articles_is_refused(
    tmp_path: Path, name: str, text: str, problem: str
) -> None:
    with pytest.raises(BadQueries, match=problem):
        read_trained(file(tmp_path, name, text))
