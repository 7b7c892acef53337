"""The tables of the passage store and how its file is opened."""

import sqlite3
from pathlib import Path

VERSION = 3
"""Raised when the tables change; a file that is older than the last one is set aside and the stream replayed."""

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE collection (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, namespace TEXT NOT NULL,
    component TEXT NOT NULL, dimension INTEGER NOT NULL, token_dimension INTEGER NOT NULL,
    sparse TEXT NOT NULL DEFAULT ''
);
CREATE TABLE passage (
    row INTEGER PRIMARY KEY, collection INTEGER NOT NULL, tenant TEXT NOT NULL, id TEXT NOT NULL,
    article TEXT NOT NULL, sequence INTEGER NOT NULL, content_hash TEXT NOT NULL, hit BLOB NOT NULL
);
CREATE UNIQUE INDEX passage_id ON passage (collection, tenant, id);
CREATE INDEX passage_article ON passage (collection, tenant, article);
CREATE INDEX passage_sequence ON passage (collection, sequence);
CREATE TABLE removed (row INTEGER PRIMARY KEY, sequence INTEGER NOT NULL);
CREATE TABLE vectors (
    row INTEGER PRIMARY KEY, vector BLOB NOT NULL, tokens BLOB NOT NULL,
    sparse BLOB NOT NULL DEFAULT x''
);
"""
"""Vectors stand apart, so that reading 50 texts does not drag 650 KB of token vectors along. ``removed`` holds the
rows that are free, and the stream sequence at which each became so."""

_WITHOUT_SPARSE = 2
_SPARSE = """
ALTER TABLE collection ADD COLUMN sparse TEXT NOT NULL DEFAULT '';
ALTER TABLE vectors ADD COLUMN sparse BLOB NOT NULL DEFAULT x'';
"""
"""What version 3 added: learned sparse vectors. No passage of an older file has one."""


class UnusableStore(Exception):
    """The file is damaged or of another schema; it must be set aside and replayed from the stream."""


def connect(path: Path) -> sqlite3.Connection:
    """Open one connection in autocommit mode; transactions are begun by hand."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA mmap_size = 268435456")
    return connection


def prepare(connection: sqlite3.Connection, name: str) -> bool:
    """Make the tables of an empty file; return whether it was empty.

    Raises:
        UnusableStore: the file has another schema.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == VERSION:
        return False
    if version == _WITHOUT_SPARSE:
        connection.executescript(f"BEGIN; {_SPARSE} PRAGMA user_version = {VERSION}; COMMIT;")
        return False
    if version != 0:
        raise UnusableStore(f"{name}: schema {version}, expected {VERSION}")
    connection.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
    return True
