"""The tokeniser: a pure function with a table."""

import pytest

from services.retriever.words.terms import english_stemmer, terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", [], id="nothing"),
        pytest.param("  ...  --- ", [], id="punctuation"),
        pytest.param("Copying directories", ["copi", "directori"], id="words-are-stemmed"),
        pytest.param("NATS server", ["nat", "server"], id="upper-case-word"),
        pytest.param(
            "shutil.copytree",
            ["shutil.copytree", "shutil", "copytre"],
            id="dotted-name-whole-and-by-parts",
        ),
        pytest.param(
            "set_start_method",
            ["set_start_method", "set", "start", "method"],
            id="snake-case-whole-and-by-parts",
        ),
        pytest.param(
            "os.path_join.x2",
            ["os.path_join.x2", "os", "path_join", "path", "join", "x2"],
            id="dotted-and-snake",
        ),
        pytest.param(
            "ThreadPoolExecutor",
            ["threadpoolexecutor", "thread", "pool", "executor"],
            id="camel-case",
        ),
        pytest.param(
            "urlsafe_b64decode",
            ["urlsafe_b64decode", "urlsaf", "b64", "decod"],
            id="digits-stay-with-their-letters",
        ),
        pytest.param("HTTPServer", ["httpserver", "http", "server"], id="acronym-then-word"),
        pytest.param("__init__", ["__init__", "init"], id="dunder"),
        pytest.param("built-in", ["built-in", "built", "in"], id="dash"),
        pytest.param("Python 3.11", ["python", "3.11", "3", "11"], id="version"),
        pytest.param("copytree(src, dst)", ["copytre", "src", "dst"], id="call"),
        pytest.param("end of line.", ["end", "of", "line"], id="full-stop-is-no-dot"),
        pytest.param("Größe", ["größe"], id="german"),
        pytest.param("copy copy", ["copi", "copi"], id="repeats-are-kept"),
    ],
)
def test_terms_of_a_text(text: str, expected: list[str]) -> None:
    assert terms(text, english_stemmer()) == expected


@pytest.mark.parametrize("query", ["shutil.copytree", "copytree", "Shutil"])
def test_an_identifier_is_found_whole_and_by_each_part(query: str) -> None:
    stem = english_stemmer()

    document = set(terms("Use shutil.copytree to copy.", stem))

    assert document.intersection(terms(query, stem))
