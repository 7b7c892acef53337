"""A component on disk: a folder with files and a ``manifest.json`` that states the sha256 of each.

Nothing is loaded before its checksum matched, and files of a kind that executes on loading are
refused by name and by first bytes, unopened by any loader.
"""

import hashlib
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from trimtab.contracts.errors import TrimtabError

MANIFEST = "manifest.json"

_FORBIDDEN_SUFFIXES = frozenset(
    {".pkl", ".pickle", ".pt", ".pth", ".joblib", ".ckpt", ".dill", ".py", ".so"}
)
_PICKLE_PROTOCOLS = frozenset({b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"})
_CHUNK = 1 << 20


class ArtifactError(TrimtabError):
    """A component's files cannot be trusted or found."""


class ArtifactMissing(ArtifactError):
    """No such component, or a file of its manifest is not there."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is missing")
        self.what = what


class ArtifactCorrupt(ArtifactError):
    """A file's content is not what the manifest says."""

    def __init__(self, component: str, path: str, problem: str) -> None:
        super().__init__(f"{component}: {path} {problem}; fetch or build the component again")
        self.component, self.path, self.problem = component, path, problem


class UnsafeFile(ArtifactError):
    """A file of a kind that can execute code when it is loaded."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} looks like a pickle or code; components hold safetensors, JSON and ONNX only"
        )
        self.path = path


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a component."""

    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    """Of the whole file, hex."""
    size: Annotated[int, Meta(ge=0)]
    """Bytes."""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a component is and what its files must hash to."""

    name: str
    """Component name, for example ``minilm-int8``."""
    version: str
    """Version, no dash in it."""
    kind: str
    """encoder, retriever, index, reranker, mapper."""
    files: dict[str, FileEntry]
    """Relative path -> checksum and size."""
    metadata: dict[str, str | int | float | bool] = {}
    """What made it: source checksum, dimension, training figures."""

    @property
    def reference(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"

    @property
    def hash(self) -> str:
        """sha256 of the canonical manifest: changes when any byte of any file does. 64 hex digits."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()


def sha256_of(path: Path) -> str:
    """Return the hex sha256 of a file, read in 1 MiB steps."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def refuse_unsafe(path: Path) -> None:
    """Raise UnsafeFile when the name or the first bytes say pickle or code.

    A pickle goes on with an opcode, and 0 is none: a safetensors file whose header is 1,152 bytes long
    begins with the same two bytes and then zeros.
    """
    if path.suffix.lower() in _FORBIDDEN_SUFFIXES:
        raise UnsafeFile(path.name)
    with path.open("rb") as file:
        start = file.read(3)
    if start[:2] in _PICKLE_PROTOCOLS and start[2:] != b"\0":
        raise UnsafeFile(path.name)


def write_manifest(
    folder: Path,
    *,
    name: str,
    version: str,
    kind: str,
    metadata: dict[str, str | int | float | bool] | None = None,
) -> Manifest:
    """Hash every file below ``folder`` and write its ``manifest.json``.

    Raises:
        UnsafeFile: one of them is a pickle or code.
    """
    files = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST):
        refuse_unsafe(path)
        files[path.relative_to(folder).as_posix()] = FileEntry(sha256_of(path), path.stat().st_size)
    manifest = Manifest(name=name, version=version, kind=kind, files=files, metadata=metadata or {})
    encoded = msgspec.json.format(msgspec.json.encode(manifest, order="deterministic"), indent=2)
    (folder / MANIFEST).write_bytes(encoded + b"\n")
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Parse ``manifest.json`` without looking at the files.

    Raises:
        ArtifactMissing: there is none.
        ArtifactCorrupt: it is not a manifest, or names a path outside the folder.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ArtifactMissing(f"{folder.name}/{MANIFEST}")
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except msgspec.DecodeError as error:
        raise ArtifactCorrupt(folder.name, MANIFEST, f"does not parse: {error}") from None
    for name in manifest.files:
        if not (folder / name).resolve().is_relative_to(folder.resolve()):
            raise ArtifactCorrupt(manifest.reference, name, "points outside the component")
    return manifest


def verify(folder: Path) -> Manifest:
    """Check every file of a component against its manifest and return it.

    Raises:
        ArtifactMissing: the manifest or a file is not there.
        ArtifactCorrupt: a size or checksum differs.
        UnsafeFile: a file is a pickle or code; it was not opened by any loader.
    """
    manifest = read_manifest(folder)
    for name, entry in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise ArtifactMissing(f"{manifest.reference}: {name}")
        refuse_unsafe(path)
        if path.stat().st_size != entry.size:
            raise ArtifactCorrupt(manifest.reference, name, f"is not {entry.size} bytes")
        if sha256_of(path) != entry.sha256:
            raise ArtifactCorrupt(
                manifest.reference, name, "does not have the sha256 of its manifest"
            )
    return manifest
