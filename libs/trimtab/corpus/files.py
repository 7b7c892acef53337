"""Users' own text, whatever form it has: JSON lines, a Markdown or text file, or a folder of those."""

from collections.abc import Iterator
from pathlib import Path

from trimtab.contracts.documents import MAX_TEXT_CHARS, Document
from trimtab.contracts.retrieve import PUBLIC_TENANT
from trimtab.corpus import jsonl
from trimtab.corpus.rows import BadRow, Row
from trimtab.corpus.sections import Section, sections

TEXT_SUFFIXES = frozenset({".md", ".markdown", ".txt"})
"""Endings that a folder is searched for."""

LINES_SUFFIXES = frozenset({".jsonl", ".ndjson"})
"""Endings read as JSON lines."""

_MAX_ID = 256
_MAX_TITLE = 512


class UnknownKind(ValueError):
    """A path is neither a folder nor a file of a known ending, or is not there."""


def check(path: Path) -> None:
    """Refuse a path that cannot be read, before anything is sent.

    Raises:
        UnknownKind: says what is wrong and which endings are read.
    """
    if not path.exists():
        raise UnknownKind(f"{path} does not exist")
    if not path.is_dir() and path.suffix.lower() not in TEXT_SUFFIXES | LINES_SUFFIXES:
        known = ", ".join(sorted(TEXT_SUFFIXES | LINES_SUFFIXES))
        raise UnknownKind(f"{path} has none of the known endings ({known})")


def read(path: Path, tenant: str | None = None) -> Iterator[Row | BadRow]:
    """Yield every passage of a file or folder; what cannot be read becomes a :class:`BadRow`.

    A folder's files come in sorted order, hidden ones left out; ids are ``file#number``.

    Args:
        path: a path that :func:`check` accepted.
        tenant: owner of passages that name none; None means everybody.
    """
    if path.is_dir():
        yield from _read_folder(path, tenant)
    elif path.suffix.lower() in LINES_SUFFIXES:
        yield from _readable(path, jsonl.read(path, tenant))
    else:
        yield from _readable(path, _read_text(path, path.name, tenant))


def _read_folder(folder: Path, tenant: str | None) -> Iterator[Row | BadRow]:
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in relative.parts)
        if path.suffix.lower() in TEXT_SUFFIXES and path.is_file() and not hidden:
            yield from _readable(path, _read_text(path, relative.as_posix(), tenant))


def _readable(path: Path, rows: Iterator[Row | BadRow]) -> Iterator[Row | BadRow]:
    try:
        yield from rows
    except UnicodeDecodeError:
        yield BadRow(str(path), 0, "not UTF-8; save the file as UTF-8")
    except OSError as error:
        yield BadRow(str(path), 0, f"cannot be read: {error.strerror}")


def _read_text(path: Path, article: str, tenant: str | None) -> Iterator[Row | BadRow]:
    text = path.read_text(encoding="utf-8-sig")
    for number, section in enumerate(sections(text), start=1):
        yield _row(path, article, tenant or PUBLIC_TENANT, number, section)


def _row(path: Path, article: str, tenant: str, number: int, section: Section) -> Row | BadRow:
    if len(section.text) > MAX_TEXT_CHARS:
        return BadRow(str(path), section.line, f"one word of more than {MAX_TEXT_CHARS} characters")
    identity = f"{article}#{number}"
    if len(identity) > _MAX_ID:
        return BadRow(str(path), section.line, f"the path is longer than {_MAX_ID} characters")
    document = Document(
        id=identity,
        text=section.text,
        title=" > ".join(section.headings or (article,))[:_MAX_TITLE],
        article=article,
        tenant=tenant,
        metadata={"file": article, "line": str(section.line)},
    )
    return Row(str(path), section.line, document)
