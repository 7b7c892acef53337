"""The shipped corpus: what users find of the running interpreter's standard library, and in which order."""

import subprocess
import sys

import pytest

from trimtab.contracts.documents import MAX_TEXT_CHARS, Document
from trimtab.contracts.message import decode, encode
from trimtab.corpus.stdlib import documents


@pytest.fixture(scope="module")
def corpus() -> list[Document]:
    return list(documents())


@pytest.fixture(scope="module")
def by_id(corpus: list[Document]) -> dict[str, Document]:
    return {document.id: document for document in corpus}


def test_the_corpus_has_several_thousand_passages_of_hundreds_of_modules(
    corpus: list[Document],
) -> None:
    assert len(corpus) > 4_000
    assert len({document.article for document in corpus}) > 200


def test_every_id_is_unique(corpus: list[Document], by_id: dict[str, Document]) -> None:
    assert len(by_id) == len(corpus)


def test_every_passage_fits_the_contract(corpus: list[Document]) -> None:
    for document in corpus:
        assert decode(Document, encode(document)) == document
        assert document.text.strip()
        assert len(document.text) <= MAX_TEXT_CHARS


def test_a_function_carries_its_signature_kind_and_line(by_id: dict[str, Document]) -> None:
    copytree = by_id["shutil.copytree"]

    assert copytree.title.startswith("shutil.copytree(src, dst, symlinks=False")
    assert copytree.article == "shutil"
    assert copytree.metadata["module"] == "shutil"
    assert copytree.metadata["kind"] == "function"
    assert int(copytree.metadata["line"]) > 1
    assert "directory tree" in copytree.text


@pytest.mark.parametrize(
    ("identity", "kind"),
    [
        ("json", "module"),
        ("os.path.join", "function"),
        ("os.listdir", "function"),
        ("asyncio.gather", "function"),
        ("asyncio.open_connection", "coroutine"),
        ("collections.deque", "class"),
        ("collections.abc.Mapping", "class"),
        ("str.split", "method"),
        ("math.sqrt", "function"),
        ("io.BytesIO", "class"),
        ("decimal.Decimal.quantize", "method"),
        ("unittest.TestCase.assertEqual", "method"),
        ("pathlib.Path.glob", "method"),
        ("pathlib.PurePath.name", "property"),
        ("itertools.chain", "class"),
        ("datetime.datetime.fromisoformat", "method"),
        ("print", "function"),
    ],
)
def test_members_are_found_under_the_names_that_users_import(
    by_id: dict[str, Document], identity: str, kind: str
) -> None:
    assert by_id[identity].metadata["kind"] == kind


def test_the_bound_first_parameter_is_not_shown(by_id: dict[str, Document]) -> None:
    assert by_id["pathlib.Path.glob"].title.startswith("pathlib.Path.glob(pattern")
    assert "self" not in by_id["str.split"].title


@pytest.mark.parametrize("top", ["test", "idlelib", "lib2to3", "antigravity", "this", "distutils"])
def test_tests_demos_and_jokes_are_left_out(corpus: list[Document], top: str) -> None:
    articles = {document.article.partition(".")[0] for document in corpus}

    assert top not in articles


def test_no_article_is_private_or_a_folder_of_tests(corpus: list[Document]) -> None:
    parts = {part for document in corpus for part in document.article.split(".")}

    assert not {part for part in parts if part.startswith("_") or part in {"test", "tests"}}


def test_a_name_shown_by_its_package_is_not_repeated_under_its_file(
    by_id: dict[str, Document],
) -> None:
    assert "asyncio.gather" in by_id
    assert "asyncio.tasks.gather" not in by_id


def test_a_module_starts_with_its_own_docstring_and_follows_the_source() -> None:
    passages = list(documents(["shutil"]))
    lines = [int(p.metadata["line"]) for p in passages if p.metadata["source"] == "shutil"]

    assert passages[0].id == "shutil"
    assert lines == sorted(lines)


def test_chosen_modules_bring_their_submodules_and_two_runs_agree(corpus: list[Document]) -> None:
    again = list(documents(["asyncio", "io", "json"]))

    assert again == [d for d in corpus if d.article.partition(".")[0] in {"asyncio", "io", "json"}]


def test_an_unknown_module_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no public standard library module: nosuchmodule"):
        list(documents(["shutil", "nosuchmodule"]))


def test_reading_a_module_does_not_execute_it() -> None:
    names = ["pdb", "tkinter", "turtle", "webbrowser"]
    code = (
        "import sys; from trimtab.corpus.stdlib import documents;"
        f"n = sum(1 for _ in documents({names}));"
        f"print(n, *(set({names}) & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    count, *imported = done.stdout.split()
    assert int(count) > 50
    assert imported == []


def test_a_users_own_module_does_not_shadow_the_library(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("shadow")
    (folder / "shutil.py").write_text('"""Mine."""\n')
    monkeypatch.syspath_prepend(str(folder))

    first = next(documents(["shutil"]))

    assert first.text != "Mine."
