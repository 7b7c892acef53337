"""Files of queries: what is read, what is refused, and that a seed chooses the same ones."""

from pathlib import Path

import pytest

from trimtab.evaluation.queries import BadQueries, Query, choose, digest, read


def written(folder: Path, text: str, name: str = "q.jsonl") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_json_lines_hold_id_text_answers_and_cluster(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '{"id": "q1", "text": "copy a tree", "relevant": ["p1", "p2"], "cluster": "shutil"}\n'
        "\n"
        '{"text": "rotate keys", "source": "what else stands there is left alone"}\n',
    )

    assert read(path) == [
        Query("q1", "copy a tree", ("p1", "p2"), "shutil"),
        Query("3", "rotate keys"),
    ]


def test_any_other_file_holds_one_text_per_line(tmp_path: Path) -> None:
    path = written(tmp_path, "  copy a tree \n\nrotate keys\n", "q.txt")

    assert read(path) == [Query("1", "copy a tree"), Query("3", "rotate keys")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no queries"),
        ("{", "q.jsonl:1: "),
        ('{"id": "a"}', "missing required field `text`"),
        ('{"id": "a", "text": " "}', "the text is blank"),
        ('{"id": "a", "text": "x"}\n{"id": "a", "text": "y"}', "occurs twice"),
        ('{"id": "a", "text": "x", "relevant": "p1"}', "relevant"),
    ],
)
def test_what_is_no_query_is_refused_with_the_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BadQueries) as caught:
        read(written(tmp_path, text))

    assert says in str(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "q.txt"
    path.write_bytes(b"\xff\xfe\x00\x01")

    with pytest.raises(BadQueries, match="UTF-8"):
        read(path)


def test_the_same_seed_chooses_the_same_queries_in_the_order_of_the_file() -> None:
    queries = [Query(str(number), "x") for number in range(100)]

    first, again, other = (choose(queries, 10, seed) for seed in (1, 1, 2))

    assert first == again != other
    assert [int(query.id) for query in first] == sorted(int(query.id) for query in first)
    assert choose(queries, 100, 1) == queries


def test_the_digest_tells_other_questions_and_other_answers_apart() -> None:
    one = [Query("1", "x", ("p", "q")), Query("2", "y")]

    assert digest(one) == digest([Query("2", "y"), Query("1", "x", ("q", "p"))])
    assert digest(one) != digest([Query("1", "x", ("p",)), Query("2", "y")])
