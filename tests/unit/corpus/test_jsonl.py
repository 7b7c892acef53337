"""JSON lines: good rows come out, bad ones are named by line and reason, and reading goes on."""

from pathlib import Path

import pytest

from trimtab.corpus import jsonl
from trimtab.corpus.rows import BadRow, Row

SECRET = "the-text-nobody-may-see"


def write(folder: Path, *lines: bytes) -> Path:
    path = folder / "docs.jsonl"
    path.write_bytes(b"\n".join(lines))
    return path


def test_all_fields_arrive_and_plain_metadata_becomes_text(tmp_path: Path) -> None:
    line = (
        b'{"id": "a", "text": "t", "title": "T", "article": "A", "tenant": "x",'
        b' "metadata": {"n": 1, "ok": true, "s": "v"}}'
    )

    [row] = jsonl.read(write(tmp_path, line))

    assert isinstance(row, Row)
    assert row.line == 1
    assert row.document.title == "T"
    assert row.document.article == "A"
    assert row.document.tenant == "x"
    assert row.document.metadata == {"n": "1", "ok": "true", "s": "v"}


def test_a_rows_own_tenant_wins_over_the_given_one(tmp_path: Path) -> None:
    path = write(
        tmp_path, b'{"id": "a", "text": "t"}', b'{"id": "b", "text": "t", "tenant": "own"}'
    )

    tenants = [row.document.tenant for row in jsonl.read(path, "given") if isinstance(row, Row)]

    assert tenants == ["given", "own"]


def test_without_any_tenant_a_row_is_everybodys(tmp_path: Path) -> None:
    [row] = jsonl.read(write(tmp_path, b'{"id": "a", "text": "t"}'))

    assert isinstance(row, Row)
    assert row.document.tenant == "public"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param(b"{", "not JSON", id="broken JSON"),
        pytest.param(b'["a"]', "not a JSON object", id="a list"),
        pytest.param(b'{"text": "t"}', "missing required field `id`", id="no id"),
        pytest.param(b'{"id": "a"}', "missing required field `text`", id="no text"),
        pytest.param(b'{"id": "a", "text": ""}', "length >= 1", id="empty text"),
        pytest.param(b'{"id": "a", "text": "  "}', "text is blank", id="blank text"),
        pytest.param(b'{"id": 7, "text": "t"}', "Expected `str`, got `int`", id="id is a number"),
        pytest.param(
            b'{"id": "a", "text": "t", "body": 1}', "unknown field 'body'", id="unknown field"
        ),
        pytest.param(b'{"id": "a", "text": "\xff\xfe"}', "not UTF-8", id="other encoding"),
        pytest.param(
            b'{"id": "a", "text": "t", "metadata": {"k": [1]}}',
            "Expected `str`",
            id="nested metadata",
        ),
    ],
)
def test_a_bad_row_is_reported_and_the_rest_goes_on(
    tmp_path: Path, line: bytes, reason: str
) -> None:
    path = write(tmp_path, b'{"id": "x", "text": "t"}', b"", line, b'{"id": "y", "text": "t"}')

    first, bad, last = jsonl.read(path)

    assert isinstance(first, Row)
    assert isinstance(last, Row)
    assert isinstance(bad, BadRow)
    assert bad.line == 3
    assert reason in bad.reason


def test_a_repeated_id_is_refused_because_it_would_replace_the_first(tmp_path: Path) -> None:
    path = write(tmp_path, b'{"id": "a", "text": "t"}', b'{"id": "a", "text": "u"}')

    _, bad = jsonl.read(path)

    assert isinstance(bad, BadRow)
    assert "line 1" in bad.reason


def test_the_same_id_of_two_tenants_is_two_passages(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        b'{"id": "a", "text": "t", "tenant": "x"}',
        b'{"id": "a", "text": "t", "tenant": "y"}',
    )

    assert all(isinstance(row, Row) for row in jsonl.read(path))


@pytest.mark.parametrize("template", ['{"id": 1, "text": "%s"}', '{"text": "%s"', '"%s"'])
def test_a_reason_never_quotes_the_text(template: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        jsonl.parse((template % SECRET).encode())

    assert SECRET not in str(caught.value)
