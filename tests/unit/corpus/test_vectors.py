from pathlib import Path

import numpy as np
import pytest

from trimtab.corpus.vectors import Space, VectorsUnusable, read_vectors, write_vectors

SPACE = Space("single_vector.tiny.4.v1", "tiny@1")
TEXTS = ["one", "two", "three"]
ROWS = np.arange(12, dtype=np.float32).reshape(3, 4)


def test_vectors_are_read_back_for_the_same_texts_and_space(tmp_path: Path) -> None:
    path = tmp_path / "kept" / "vectors.safetensors"
    # A transposed matrix lies column by column; its rows must come back as rows.
    write_vectors(path, np.asfortranarray(ROWS), TEXTS, SPACE)

    assert read_vectors(path, TEXTS, SPACE).tolist() == ROWS.tolist()


@pytest.mark.parametrize(
    ("texts", "space"),
    [
        (["one", "two", "four"], SPACE),
        (["on", "etwo", "three"], SPACE),
        (TEXTS[::-1], SPACE),
        (TEXTS, Space("single_vector.other.4.v1", "tiny@1")),
        (TEXTS, Space(SPACE.namespace, "tiny@2")),
    ],
)
def test_vectors_of_other_texts_or_another_encoder_are_refused(
    tmp_path: Path, texts: list[str], space: Space
) -> None:
    write_vectors(tmp_path / "v.safetensors", ROWS, TEXTS, SPACE)

    with pytest.raises(VectorsUnusable, match="other texts or by another encoder"):
        read_vectors(tmp_path / "v.safetensors", texts, space)


def test_a_file_with_too_few_vectors_is_refused(tmp_path: Path) -> None:
    write_vectors(tmp_path / "v.safetensors", ROWS[1:], TEXTS, SPACE)

    with pytest.raises(VectorsUnusable, match="make it again"):
        read_vectors(tmp_path / "v.safetensors", TEXTS, SPACE)


@pytest.mark.parametrize("name", ["v.safetensors", "absent.safetensors"])
def test_a_file_that_holds_no_vectors_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "v.safetensors").write_bytes(b"nothing of the kind")

    with pytest.raises(VectorsUnusable, match="cannot be read"):
        read_vectors(tmp_path / name, TEXTS, SPACE)
