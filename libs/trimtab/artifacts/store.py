"""Components in the JetStream object store: pushed once, pulled and verified before anything loads them."""

import asyncio
import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import nats.js.errors
from nats.aio.client import Client as NatsClient
from nats.js.object_store import ObjectStore

from trimtab.artifacts.manifest import (
    MANIFEST,
    ArtifactCorrupt,
    ArtifactError,
    ArtifactMissing,
    Manifest,
    read_manifest,
    verify,
)
from trimtab.bus.ending import end
from trimtab.contracts import subjects

_LOOK_S = 0.25
"""How often it is looked whether an object that is being read was replaced."""

Builder = Callable[[str, Path], Path]
"""``build(reference, into) -> folder``: makes a component on the spot; runs in a thread."""


class ArtifactStore:
    """Push, pull and list components of one deployment."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    @classmethod
    async def open(cls, connection: NatsClient) -> "ArtifactStore":
        """Open the bucket, making it when it is not there."""
        js = connection.jetstream(timeout=30)
        try:
            return cls(await js.object_store(subjects.ARTIFACT_BUCKET))
        except nats.js.errors.BucketNotFoundError:
            return cls(await js.create_object_store(subjects.ARTIFACT_BUCKET))

    async def manifest(self, reference: str) -> Manifest | None:
        """Return the manifest stored under ``name@version``, or None."""
        try:
            found = await self._get(f"{reference}/{MANIFEST}")
        except (nats.js.errors.ObjectNotFoundError, nats.js.errors.ObjectDeletedError):
            return None
        return msgspec.json.decode(found, type=Manifest)

    async def manifests(self) -> list[Manifest]:
        """Return the manifest of every stored component, by reference."""
        try:
            found = await self._objects.list(ignore_deletes=True)
        except nats.js.errors.NotFoundError:
            return []
        names = [each.name or "" for each in found]
        ends = f"/{MANIFEST}"
        references = sorted(name.removesuffix(ends) for name in names if name.endswith(ends))
        told = [await self.manifest(reference) for reference in references]
        return [manifest for manifest in told if manifest is not None]

    async def file(self, manifest: Manifest, name: str) -> bytes:
        """Return one file of a stored component, checked against its manifest.

        Raises:
            ArtifactCorrupt: its content is not what the manifest says.
        """
        data = await self._get(f"{manifest.reference}/{name}")
        if hashlib.sha256(data).hexdigest() != manifest.files[name].sha256:
            problem = "does not have the sha256 of its manifest"
            raise ArtifactCorrupt(manifest.reference, name, problem)
        return data

    async def push(self, folder: Path) -> Manifest:
        """Store a verified folder; the manifest goes last, so half a push is never seen.

        Raises:
            ArtifactCorrupt: the same reference is stored with other content.
        """
        manifest = await asyncio.to_thread(verify, folder)
        stored = await self.manifest(manifest.reference)
        if stored is not None:
            if stored.hash != manifest.hash:
                raise ArtifactCorrupt(
                    manifest.reference,
                    MANIFEST,
                    "differs from the one stored under this version; use a new version",
                )
            return stored
        for name in (*manifest.files, MANIFEST):
            data = await asyncio.to_thread((folder / name).read_bytes)
            await self._objects.put(f"{manifest.reference}/{name}", data)
        return manifest

    async def pull(self, reference: str, into: Path) -> Path:
        """Fetch a component below ``into``, verify it and return its folder; an intact copy is reused.

        Raises:
            ArtifactMissing: the store has no such component.
            ArtifactCorrupt: a checksum differs.
        """
        manifest = await self.manifest(reference)
        if manifest is None:
            raise ArtifactMissing(reference)
        folder = into / f"{reference}-{manifest.hash[:12]}"
        if await asyncio.to_thread(_intact, folder):
            return folder
        files = {}
        for name in (*manifest.files, MANIFEST):
            files[name] = await self._get(f"{reference}/{name}")
        await asyncio.to_thread(_install, files, folder)
        return folder

    async def _get(self, name: str) -> bytes:
        """Read one object, from the start again when another worker stored it anew meanwhile.

        Its chunks are gone then, and the client would wait for them for ever.
        """
        while True:
            began = await self._objects.get_info(name)
            reading = asyncio.create_task(self._objects.get(name))
            try:
                while not (await asyncio.wait({reading}, timeout=_LOOK_S))[0]:
                    if (await self._objects.get_info(name)).nuid != began.nuid:
                        break
                else:
                    return (await reading).data or b""
            finally:
                await end(reading)


def _intact(folder: Path) -> bool:
    """Whether a verified copy is there; a damaged one is removed, to be fetched again."""
    if not folder.is_dir():
        return False
    try:
        verify(folder)
    except ArtifactError:
        shutil.rmtree(folder)
        return False
    return True


def _install(files: dict[str, bytes], folder: Path) -> None:
    """Write beside ``folder``, verify, then rename: no reader ever sees half a component."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
    try:
        for name, data in files.items():
            path = (partial / name).resolve()
            if not path.is_relative_to(partial.resolve()):
                raise ArtifactCorrupt(folder.name, name, "points outside the component")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        verify(partial)
        if not folder.is_dir():
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


async def provide(
    connection: NatsClient, reference: str, cache: Path, build: Builder | None = None
) -> tuple[Path, Manifest]:
    """Return a verified folder of ``reference``: from the store, else built here and pushed.

    Two workers that build at once do the same work; the first push wins and both load its content.

    Raises:
        ArtifactError: it is nowhere to be had, or what was found cannot be trusted.
    """
    store = await ArtifactStore.open(connection)
    if await store.manifest(reference) is None:
        if build is None:
            raise ArtifactMissing(reference)
        folder = await asyncio.to_thread(build, reference, cache / "built")
        try:
            await store.push(folder)
        except ArtifactCorrupt:
            if await store.manifest(reference) is None:
                raise
    folder = await store.pull(reference, cache)
    return folder, read_manifest(folder)


__all__ = ["ArtifactError", "ArtifactStore", "Builder", "provide"]
