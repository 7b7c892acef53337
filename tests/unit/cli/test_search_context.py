"""What ``--context`` takes: texts as they are, files by paragraph."""

from pathlib import Path

import pytest

from trimtab.cli.failure import Failure
from trimtab.cli.search import texts_of


def test_a_file_stands_for_its_paragraphs_and_a_text_for_itself(tmp_path: Path) -> None:
    path = tmp_path / "read.txt"
    path.write_text("first line\nsecond line\n\n \n  another  \n\n")

    assert texts_of(["before", str(path), "after\n\nit"]) == [
        "before",
        "first line\nsecond line",
        "another",
        "after\n\nit",
    ]


def test_a_text_too_long_to_be_a_path_is_a_text() -> None:
    assert texts_of(["word " * 2000]) == ["word " * 2000]


def test_a_file_that_is_no_text_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "picture.bin"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(Failure, match=r"picture\.bin"):
        texts_of([str(path)])
