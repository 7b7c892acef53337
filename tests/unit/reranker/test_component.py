"""A component loads only when its files are what the manifest says and fit each other and this code."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from services.reranker.component import (
    CARD,
    KIND,
    WEIGHTS,
    load_component,
    save_component,
)
from services.reranker.features import names
from tests.unit.reranker.pools import component
from trimtab.artifacts.manifest import (
    MANIFEST,
    ArtifactCorrupt,
    ArtifactMissing,
    UnsafeFile,
    write_manifest,
)

REFERENCE = "mlp-test@1"


def test_what_was_saved_is_what_is_loaded(tmp_path: Path) -> None:
    made = component(tmp_path, "full")
    again = load_component(tmp_path / REFERENCE)

    assert again.reference == REFERENCE
    assert again.card == made.card
    for name in ("means", "scales", "w1", "b1", "w2", "b2"):
        assert np.array_equal(getattr(again.network, name), getattr(made.network, name))


def test_saving_the_same_numbers_gives_the_same_bytes(tmp_path: Path) -> None:
    made = component(tmp_path / "a")
    again = save_component(
        tmp_path / "b" / REFERENCE, REFERENCE, "full", made.network, made.card.training
    )

    assert again.hash == made.content_hash
    assert again.kind == KIND


@pytest.mark.parametrize("name", [CARD, WEIGHTS])
def test_a_changed_file_is_refused_before_it_is_read(tmp_path: Path, name: str) -> None:
    component(tmp_path)
    path = tmp_path / REFERENCE / name
    path.write_bytes(path.read_bytes()[:-1] + b"?")

    with pytest.raises(ArtifactCorrupt, match="sha256"):
        load_component(tmp_path / REFERENCE)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    component(tmp_path)
    (tmp_path / REFERENCE / WEIGHTS).unlink()

    with pytest.raises(ArtifactMissing, match=WEIGHTS):
        load_component(tmp_path / REFERENCE)


def test_a_pickle_in_place_of_the_weights_is_refused(tmp_path: Path) -> None:
    component(tmp_path)
    path = tmp_path / REFERENCE / WEIGHTS
    path.write_bytes(b"\x80\x04\x95" + path.read_bytes()[3:])

    with pytest.raises(UnsafeFile):
        load_component(tmp_path / REFERENCE)


def with_card(folder: Path, **fields: Any) -> None:
    """Change the card and state its new checksum: somebody's honest mistake."""
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(card | fields))
    (folder / MANIFEST).unlink()
    write_manifest(folder, name="mlp-test", version="1", kind=KIND)


def with_weights(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    tensors = load((folder / WEIGHTS).read_bytes())
    change(tensors)
    (folder / WEIGHTS).write_bytes(save(tensors))
    (folder / MANIFEST).unlink()
    write_manifest(folder, name="mlp-test", version="1", kind=KIND)


CARDS: dict[str, tuple[dict[str, Any], str]] = {
    "features of another code": ({"features": ["cosine", "luck"]}, "names other features"),
    "the same features in another order": (
        {"features": sorted(names("full"))},
        "names other features",
    ),
    "an unknown feature set": ({"feature_set": "runbook5"}, "does not parse"),
    "a scale of zero": ({"scales": [0.0] * len(names("full"))}, "does not parse"),
    "too few means": ({"means": [0.0]}, "a mean and a scale"),
    "another hidden size": ({"hidden": 9}, "does not hold"),
    "a field of a later version": ({"dropout": 0.1}, "does not parse"),
}


@pytest.mark.parametrize(("fields", "problem"), CARDS.values(), ids=CARDS)
def test_a_card_that_does_not_fit_is_refused(
    tmp_path: Path, fields: dict[str, Any], problem: str
) -> None:
    component(tmp_path)
    with_card(tmp_path / REFERENCE, **fields)

    with pytest.raises(ArtifactCorrupt, match=problem):
        load_component(tmp_path / REFERENCE)


def _drop(tensors: dict[str, Any]) -> None:
    del tensors["b1"]


def _widen(tensors: dict[str, Any]) -> None:
    tensors["w2"] = tensors["w2"].astype(np.float64)


def _spoil(tensors: dict[str, Any]) -> None:
    tensors["w1"] = np.full_like(tensors["w1"], np.nan)


@pytest.mark.parametrize(
    ("change", "problem"),
    [(_drop, "does not hold"), (_widen, "does not hold"), (_spoil, "not finite")],
    ids=["a tensor is missing", "another dtype", "a number that is none"],
)
def test_weights_that_do_not_fit_are_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], problem: str
) -> None:
    component(tmp_path)
    with_weights(tmp_path / REFERENCE, change)

    with pytest.raises(ArtifactCorrupt, match=problem):
        load_component(tmp_path / REFERENCE)


def test_weights_that_are_no_safetensors_are_refused(tmp_path: Path) -> None:
    component(tmp_path)
    folder = tmp_path / REFERENCE
    (folder / WEIGHTS).write_bytes(b"{}")
    (folder / MANIFEST).unlink()
    write_manifest(folder, name="mlp-test", version="1", kind=KIND)

    with pytest.raises(ArtifactCorrupt, match="cannot be read"):
        load_component(folder)
