"""Nothing is loaded before its checksum matched; pickles are refused unopened."""

import pickle
import pickletools
from pathlib import Path

import pytest
import safetensors.numpy

from trimtab.artifacts.manifest import (
    ArtifactCorrupt,
    ArtifactMissing,
    UnsafeFile,
    verify,
    write_manifest,
)


@pytest.fixture
def component(tmp_path: Path) -> Path:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "model.safetensors").write_bytes(b"\x00" * 4096)
    (tmp_path / "config.json").write_text('{"dimension": 384}')
    write_manifest(tmp_path, name="minilm", version="1", kind="encoder")
    return tmp_path


def test_an_intact_component_verifies(component: Path) -> None:
    manifest = verify(component)

    assert manifest.reference == "minilm@1"
    assert set(manifest.files) == {"config.json", "weights/model.safetensors"}


def test_every_single_flipped_bit_is_found(component: Path) -> None:
    path = component / "config.json"
    good = path.read_bytes()
    for position in range(len(good) * 8):
        bad = bytearray(good)
        bad[position // 8] ^= 1 << position % 8
        path.write_bytes(bad)
        with pytest.raises(ArtifactCorrupt):
            verify(component)


def test_a_truncated_a_missing_and_an_unlisted_manifest_are_told_apart(component: Path) -> None:
    path = component / "weights" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtifactCorrupt, match="4096 bytes"):
        verify(component)
    path.unlink()
    with pytest.raises(ArtifactMissing, match=r"weights/model\.safetensors"):
        verify(component)
    (component / "manifest.json").unlink()
    with pytest.raises(ArtifactMissing, match="manifest"):
        verify(component)


class Bomb:
    """Raises when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return (exec, ("raise SystemExit('unpickled')",))


@pytest.mark.parametrize("name", ["model.pt", "model.pkl", "innocent.json"])
def test_a_pickle_is_refused_unopened_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(pickle.dumps(Bomb()))

    with pytest.raises(UnsafeFile):
        write_manifest(tmp_path, name="bad", version="1", kind="encoder")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_header_length_that_begins_like_a_pickle_is_none(tmp_path: Path, protocol: int) -> None:
    length = protocol * 256 + 0x80
    header = b"{}".ljust(length)
    path = tmp_path / "model.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + header)

    write_manifest(tmp_path, name="good", version="1", kind="encoder")

    assert verify(tmp_path).reference == "good@1"
    assert safetensors.numpy.load_file(path) == {}
    with pytest.raises(
        ValueError, match="unknown"
    ):  # read as a pickle, with nothing of it carried out
        list(pickletools.genops(path.read_bytes()))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_two_bytes_that_say_pickle_are_refused_when_nothing_follows(
    tmp_path: Path, protocol: int
) -> None:
    (tmp_path / "model.safetensors").write_bytes(bytes([0x80, protocol]))

    with pytest.raises(UnsafeFile):
        write_manifest(tmp_path, name="bad", version="1", kind="encoder")


def test_a_pickle_smuggled_in_after_the_manifest_is_refused(component: Path) -> None:
    (component / "config.json").write_bytes(pickle.dumps(Bomb()))

    with pytest.raises(UnsafeFile):
        verify(component)


def test_a_manifest_that_points_outside_its_folder_is_refused(component: Path) -> None:
    path = component / "manifest.json"
    path.write_text(path.read_text().replace("config.json", "../../etc/passwd"))

    with pytest.raises(ArtifactCorrupt, match="outside"):
        verify(component)


def test_the_hash_changes_with_any_content(component: Path) -> None:
    before = verify(component).hash
    (component / "config.json").write_text('{"dimension": 385}')
    after = write_manifest(component, name="minilm", version="1", kind="encoder").hash

    assert before != after
