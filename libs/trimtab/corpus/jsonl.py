"""Users' passages from JSON lines: ``{"id", "text"}`` and optionally title, article, tenant, metadata."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from trimtab.contracts.documents import Document
from trimtab.corpus.rows import BadRow, Row

_FIELDS = frozenset(Document.__struct_fields__)


def read(path: Path, tenant: str | None = None) -> Iterator[Row | BadRow]:
    """Yield one row per non-blank line; a bad line becomes a :class:`BadRow` and reading goes on.

    Args:
        path: the file, UTF-8.
        tenant: owner of rows that name none; None leaves the contract's default.
    """
    first_lines: dict[tuple[str, str], int] = {}
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                document = parse(line, tenant)
            except ValueError as error:
                yield BadRow(str(path), number, str(error))
                continue
            key = (document.tenant, document.id)
            first = first_lines.setdefault(key, number)
            if first != number:
                yield BadRow(
                    str(path), number, f"id already used on line {first}; ids must be unique"
                )
                continue
            yield Row(str(path), number, document)


def parse(line: bytes, tenant: str | None = None) -> Document:
    """Parse one line.

    Raises:
        ValueError: says which field is wrong and what it should be, without quoting the text.
    """
    fields = _object(line)
    unknown = sorted(set(fields) - _FIELDS)
    if unknown:
        raise ValueError(
            f"unknown field {unknown[0]!r}; known: {', '.join(sorted(_FIELDS))}; put others into metadata"
        )
    if tenant is not None:
        fields.setdefault("tenant", tenant)
    if isinstance(fields.get("metadata"), dict):
        fields["metadata"] = {key: _plain(value) for key, value in fields["metadata"].items()}
    return _document(fields)


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(line)
    except UnicodeDecodeError:
        raise ValueError("not UTF-8; save the file as UTF-8") from None
    except msgspec.DecodeError as error:
        if "utf-8" in str(error).lower():
            raise ValueError("not UTF-8; save the file as UTF-8") from None
        raise ValueError(f"not JSON: {error}; write one object per line") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object; write one object per line")  # noqa: TRY004 - data, not a type
    return value


def _plain(value: object) -> object:
    """Return numbers and booleans as their JSON text: metadata is stored as strings."""
    if isinstance(value, bool | int | float):
        return msgspec.json.encode(value).decode()
    return value


def _document(fields: dict[str, Any]) -> Document:
    try:
        document = msgspec.convert(fields, Document)
    except msgspec.ValidationError as error:
        raise ValueError(f"{error}; see `trimtab ingest --help` for the fields") from None
    if not document.text.strip():
        raise ValueError("text is blank; leave the row out or give it a text")
    return document
