"""Only a folder of that very name, directly below the shipped ones, is a shipped component."""

from pathlib import Path

import pytest

from trimtab.artifacts.manifest import ArtifactMissing
from trimtab.artifacts.shipped import shipped


@pytest.mark.parametrize("reference", ["other@1", "..", ".", "", "../mlp@1", "mlp@1/..", "file@1"])
def test_nothing_but_a_folder_of_that_very_name_is_found(tmp_path: Path, reference: str) -> None:
    (tmp_path / "components" / "mlp@1").mkdir(parents=True)
    (tmp_path / "components" / "file@1").touch()
    (tmp_path / "mlp@1").mkdir()
    find = shipped(tmp_path / "components")

    assert find("mlp@1", tmp_path) == tmp_path / "components" / "mlp@1"
    with pytest.raises(ArtifactMissing):
        find(reference, tmp_path)
