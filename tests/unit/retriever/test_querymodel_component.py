"""A query model loads only when its files are what the manifest says and answer as they did when trained."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from services.retriever.querymodel import amn as querymodel_amn
from services.retriever.querymodel.component import (
    CARD,
    GOLDEN,
    KIND,
    WEIGHTS,
    answer,
    load_model,
)
from services.retriever.querymodel.gru import GruSize
from tests.unit.retriever import querymodels
from tests.unit.retriever.corpora import DIMENSION, NAMESPACE, unit
from trimtab.artifacts.manifest import ArtifactCorrupt, UnsafeFile, write_manifest

WINDOW = unit(np.random.default_rng(2), 5)


def signed_again(folder: Path, kind: str = KIND) -> None:
    """Give the files a manifest that fits them, as somebody would who changed them on purpose."""
    (folder / "manifest.json").unlink()
    write_manifest(folder, name="amn_v0", version="1", kind=kind)


@pytest.mark.parametrize(
    "size", [querymodels.SIZE, GruSize(dimension=DIMENSION, hidden=8, blocks=2)]
)
def test_what_was_saved_answers_alike_when_loaded(tmp_path: Path, size: Any) -> None:
    folder = querymodels.save(tmp_path, "model@1", size)

    loaded = load_model(folder)

    vector = loaded.vector(WINDOW)
    assert (loaded.reference, loaded.least, loaded.card.size) == ("model@1", 5, size)
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-6)
    assert np.array_equal(vector, answer(loaded.network, WINDOW))
    assert np.array_equal(vector, loaded.vector(np.concatenate([-WINDOW, WINDOW])))


def test_the_same_numbers_make_the_same_bytes(tmp_path: Path) -> None:
    one, other = querymodels.model(tmp_path / "a"), querymodels.model(tmp_path / "b")

    assert one.content_hash == other.content_hash


def test_it_fits_its_own_space_only(tmp_path: Path) -> None:
    loaded = querymodels.model(tmp_path)

    assert loaded.fits(NAMESPACE, DIMENSION)
    assert not loaded.fits("single_vector.other.16.v1", DIMENSION)
    assert not loaded.fits(NAMESPACE, 2 * DIMENSION)


@pytest.mark.parametrize("name", [CARD, WEIGHTS, GOLDEN])
def test_a_changed_file_is_refused_before_it_is_read(tmp_path: Path, name: str) -> None:
    path = querymodels.save(tmp_path) / name
    path.write_bytes(path.read_bytes()[:-1] + b"?")

    with pytest.raises(ArtifactCorrupt, match="sha256"):
        load_model(path.parent)


def test_right_bytes_answered_otherwise_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault of the source: the same weights under another activation loaded, and gave noise."""
    folder = querymodels.save(tmp_path)

    def relu(x: Any) -> tuple[Any, Any]:
        return np.maximum(x, 0), (x > 0).astype(x.dtype)

    monkeypatch.setattr(querymodel_amn, "gelu", relu)
    with pytest.raises(ArtifactCorrupt, match="answered otherwise"):
        load_model(folder)


Change = Callable[[Path], None]


def _json(name: str, change: Callable[[Any], object]) -> Change:
    def apply(folder: Path) -> None:
        content = json.loads((folder / name).read_bytes())
        change(content)
        (folder / name).write_text(json.dumps(content))

    return apply


def _tensors(change: Callable[[dict[str, Any]], object]) -> Change:
    def apply(folder: Path) -> None:
        tensors = dict(load((folder / WEIGHTS).read_bytes()))
        change(tensors)
        (folder / WEIGHTS).write_bytes(save(tensors))

    return apply


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_json(GOLDEN, lambda golden: golden[0]["vector"].reverse()), "answered otherwise"),
        (_json(GOLDEN, lambda golden: golden[0]["window"].pop()), "answered otherwise"),
        (_json(GOLDEN, lambda golden: golden.clear()), "answered otherwise"),
        (_json(CARD, lambda card: card.update(window=6)), "does not parse"),
        (_json(CARD, lambda card: card["size"].update(hidden=9)), "does not hold the weights"),
        (_json(CARD, lambda card: card["size"].update(hidden=0)), "does not parse"),
        (_json(CARD, lambda card: card["size"].update(type="mamba")), "does not parse"),
        (_tensors(lambda t: t.update(extra=np.zeros(1, np.float32))), "does not hold the weights"),
        (_tensors(lambda t: t.pop("keys.bias")), "does not hold the weights"),
        (_tensors(lambda t: t["keys.bias"].__setitem__(0, np.inf)), "not finite"),
        (_tensors(lambda t: t["mlp3.bias"].__setitem__(0, 1.0)), "answered otherwise"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"no tensors"), "cannot be read"),
    ],
)
def test_parts_that_do_not_fit_each_other_are_refused(
    tmp_path: Path, change: Change, why: str
) -> None:
    folder = querymodels.save(tmp_path)
    change(folder)
    signed_again(folder)

    with pytest.raises(ArtifactCorrupt, match=why):
        load_model(folder)


def test_another_kind_of_component_is_refused(tmp_path: Path) -> None:
    folder = querymodels.save(tmp_path)
    signed_again(folder, "reranker")

    with pytest.raises(ArtifactCorrupt, match="is of a reranker"):
        load_model(folder)


def test_a_pickle_is_refused_unopened(tmp_path: Path) -> None:
    folder = querymodels.save(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    (folder / "model.pt").write_bytes(b"\x80\x04evil")
    manifest["files"]["model.pt"] = {"sha256": "0" * 64, "size": 6}
    (folder / "manifest.json").write_text(json.dumps(manifest))

    with pytest.raises(UnsafeFile):
        load_model(folder)
