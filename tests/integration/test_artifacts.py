"""Components through a real object store: pushed once, verified on the way back."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client as NatsClient
from nats.js.object_store import ObjectStore

from trimtab.artifacts.manifest import ArtifactCorrupt, ArtifactMissing, verify, write_manifest
from trimtab.artifacts.store import ArtifactStore, provide

pytestmark = pytest.mark.integration


def component(folder: Path, content: bytes = b"weights") -> Path:
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(content * 100_000)
    write_manifest(folder, name="mlp", version="1", kind="reranker")
    return folder


async def test_what_was_pushed_comes_back_verified(connection: NatsClient, tmp_path: Path) -> None:
    store = await ArtifactStore.open(connection)
    pushed = await store.push(component(tmp_path / "made"))

    folder = await store.pull("mlp@1", tmp_path / "cache")

    assert verify(folder) == pushed


async def test_one_version_name_cannot_have_two_contents(
    connection: NatsClient, tmp_path: Path
) -> None:
    store = await ArtifactStore.open(connection)
    await store.push(component(tmp_path / "made"))

    with pytest.raises(ArtifactCorrupt, match="new version"):
        await store.push(component(tmp_path / "other", b"different"))


async def test_a_damaged_copy_on_disk_is_fetched_again(
    connection: NatsClient, tmp_path: Path
) -> None:
    store = await ArtifactStore.open(connection)
    await store.push(component(tmp_path / "made"))
    folder = await store.pull("mlp@1", tmp_path / "cache")
    (folder / "model.safetensors").write_bytes(b"rot")

    again = await store.pull("mlp@1", tmp_path / "cache")

    verify(again)


async def test_an_object_changed_in_the_store_never_reaches_a_loader(
    connection: NatsClient, tmp_path: Path
) -> None:
    store = await ArtifactStore.open(connection)
    await store.push(component(tmp_path / "made"))
    objects = await connection.jetstream().object_store("trimtab_artifacts")
    await objects.put("mlp@1/model.safetensors", b"tampered")

    with pytest.raises(ArtifactCorrupt):
        await store.pull("mlp@1", tmp_path / "cache")

    assert not list((tmp_path / "cache").glob("mlp@1*"))


async def test_a_component_that_nobody_has_is_said_to_be_missing(
    connection: NatsClient, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactMissing, match="mlp@9"):
        await provide(connection, "mlp@9", tmp_path)


async def test_two_workers_that_build_at_once_load_the_same_content(
    connection: NatsClient, tmp_path: Path
) -> None:
    def build(reference: str, into: Path) -> Path:
        return component(into / reference)

    (one, first), (two, second) = await asyncio.gather(
        provide(connection, "mlp@1", tmp_path / "a", build),
        provide(connection, "mlp@1", tmp_path / "b", build),
    )

    assert first.hash == second.hash == verify(one).hash == verify(two).hash


async def test_an_object_that_is_stored_anew_while_it_is_read_is_read_from_the_start_again(
    connection: NatsClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await ArtifactStore.open(connection)
    await store.push(component(tmp_path / "mlp@1"))
    original, again = ObjectStore.get_info, iter([False, True])

    async def overtaken(self: ObjectStore, name: str, *args: Any) -> Any:
        """Let another worker store the object between the look at it and the reading of its chunks."""
        info = await original(self, name, *args)
        if next(again, False):
            data = (tmp_path / "mlp@1" / name.rpartition("/")[2]).read_bytes()
            await self.put(name, data)
        return info

    monkeypatch.setattr(ObjectStore, "get_info", overtaken)

    async with asyncio.timeout(30):
        folder = await store.pull("mlp@1", tmp_path / "pulled")

    assert verify(folder).reference == "mlp@1"
    assert next(again, None) is None
