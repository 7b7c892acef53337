"""One folder, one process."""

from pathlib import Path

import pytest

from services.retriever.statefolder import StateInUse, claim


def test_a_folder_is_held_until_it_is_released(tmp_path: Path) -> None:
    first = claim(tmp_path, "retriever", "a")

    with pytest.raises(StateInUse, match="a is in use by another retriever"):
        claim(tmp_path, "retriever", "a")
    first.release()

    again = claim(tmp_path, "retriever", "a")
    assert again.path == tmp_path / "retriever" / "a"
    again.release()


def test_without_a_name_the_first_free_folder_is_taken(tmp_path: Path) -> None:
    held = [claim(tmp_path, "retriever") for _ in range(3)]
    held[1].release()

    again = claim(tmp_path, "retriever")

    assert [folder.name for folder in held] == ["retriever-0", "retriever-1", "retriever-2"]
    assert again.name == "retriever-1"
    for folder in (held[0], held[2], again):
        folder.release()
