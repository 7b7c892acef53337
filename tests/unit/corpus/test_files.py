"""Files and folders of users: which are read, in which order, and what a broken one does."""

from pathlib import Path

import pytest

from trimtab.corpus import files
from trimtab.corpus.rows import BadRow, Row


def test_a_folder_yields_its_text_files_in_order_with_stable_ids(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("Second file.")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.md").write_text("# Title\n\nText.\n\n## More\n\nRest.\n")
    (tmp_path / "image.png").write_bytes(b"\x89PNG")
    (tmp_path / ".hidden.md").write_text("no")

    rows = [row for row in files.read(tmp_path, "acme") if isinstance(row, Row)]

    assert [r.document.id for r in rows] == ["a/one.md#1", "a/one.md#2", "b.txt#1"]
    assert [r.document.title for r in rows] == ["Title", "Title > More", "b.txt"]
    assert {r.document.tenant for r in rows} == {"acme"}
    assert rows[0].document.article == "a/one.md"
    assert rows[1].document.metadata == {"file": "a/one.md", "line": "7"}


def test_one_file_in_another_encoding_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    (tmp_path / "b.txt").write_text("fine")

    bad, good = files.read(tmp_path)

    assert isinstance(bad, BadRow)
    assert bad.line == 0
    assert "UTF-8" in bad.reason
    assert isinstance(good, Row)


def test_a_byte_order_mark_is_not_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfHello")

    [row] = files.read(path)

    assert isinstance(row, Row)
    assert row.document.text == "Hello"


def test_json_lines_are_read_as_such(tmp_path: Path) -> None:
    path = tmp_path / "docs.jsonl"
    path.write_text('{"id": "a", "text": "t"}\n')

    [row] = files.read(path)

    assert isinstance(row, Row)
    assert row.document.id == "a"


def test_a_missing_path_and_an_unknown_ending_are_refused_before_reading(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF")

    with pytest.raises(files.UnknownKind, match="does not exist"):
        files.check(tmp_path / "nowhere")
    with pytest.raises(files.UnknownKind, match=r"known endings \(.*\.jsonl.*\.md"):
        files.check(tmp_path / "a.pdf")
