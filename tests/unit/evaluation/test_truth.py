"""Exact answers and vectors on disk: what was written comes back, and nothing that was touched."""

from pathlib import Path

import numpy as np
import pytest

from trimtab.artifacts.manifest import (
    ArtifactCorrupt,
    ArtifactError,
    sha256_of,
    write_manifest,
)
from trimtab.evaluation.truth import (
    TrueAnswer,
    UnusableTruth,
    checksum_of,
    read_truth,
    write_truth,
)
from trimtab.evaluation.vectorbundle import (
    BundleCard,
    HeldOut,
    VectorBundle,
    read_bundle,
    write_bundle,
)

ANSWERS = [
    TrueAnswer(id="q1", ids=["a", "b"], cosines=[0.9, 0.8], vector=[1.0, 0.0]),
    TrueAnswer(id="q2", ids=[], cosines=[]),
]


def bundle(queries: int = 2, dtype: type = np.float32) -> VectorBundle:
    return VectorBundle(
        BundleCard(collection="docs", index="docs@7", namespace="space", encoder="e@1"),
        ["a", ""],
        np.eye(2, 4, dtype=dtype),
        [HeldOut(id="q1", relevant=["a"], cluster="c")] * queries,
        np.eye(2, 4, 1, dtype=np.float32),
    )


def test_answers_come_back_as_written_under_a_checksum_that_sha256sum_reads(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"

    digest = write_truth(path, ANSWERS)

    assert read_truth(path) == ANSWERS
    assert checksum_of(path).read_text() == f"{digest}  truth.jsonl\n"


@pytest.mark.parametrize("wrong", ["changed", "no-checksum", "not-there", "not-an-answer"])
def test_a_file_that_was_touched_is_refused(wrong: str, tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    write_truth(path, ANSWERS)
    if wrong == "changed":
        path.write_bytes(path.read_bytes().replace(b"0.9", b"0.7"))
    if wrong == "no-checksum":
        checksum_of(path).unlink()
    if wrong == "not-there":
        path.unlink()
    if wrong == "not-an-answer":
        path.write_text('{"id": "q1"}\n')
        checksum_of(path).write_text(f"{sha256_of(path)}  truth.jsonl\n")

    with pytest.raises(UnusableTruth):
        read_truth(path)


def test_a_bundle_comes_back_as_written_and_never_over_another(tmp_path: Path) -> None:
    given = bundle()

    write_bundle(tmp_path / "kept", given)

    found = read_bundle(tmp_path / "kept")
    assert (found.card, found.ids, found.queries) == (given.card, given.ids, given.queries)
    assert np.array_equal(found.vectors, given.vectors)
    assert np.array_equal(found.query_vectors, given.query_vectors)
    with pytest.raises(FileExistsError):
        write_bundle(tmp_path / "kept", given)


def test_a_bundle_with_a_flipped_bit_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path / "kept", bundle())
    path = tmp_path / "kept" / "vectors.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)

    with pytest.raises(ArtifactError):
        read_bundle(tmp_path / "kept")


@pytest.mark.parametrize(
    "wrong", [bundle(queries=1), bundle(dtype=np.float64)], ids=["queries", "dtype"]
)
def test_parts_of_a_bundle_that_do_not_fit_each_other_are_refused(
    wrong: VectorBundle, tmp_path: Path
) -> None:
    write_bundle(tmp_path / "kept", wrong)

    with pytest.raises(ArtifactCorrupt, match="one id per f32 row"):
        read_bundle(tmp_path / "kept")


def test_an_array_of_objects_is_never_unpickled(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    write_bundle(folder, bundle())
    np.save(folder / "vectors.npy", np.array([[object()]], dtype=object))
    write_manifest(folder, name="docs", version="7", kind="vectors")

    with pytest.raises(ArtifactCorrupt, match="does not parse"):
        read_bundle(folder)
