from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load, save

from services.mapper.model.adapter import Feature
from services.mapper.model.anchors import Anchors
from services.mapper.model.calibration import Kind, Line, Platt, Temperature
from services.mapper.model.component import (
    CALIBRATION,
    CARD,
    HEAD,
    KIND,
    AdapterCard,
    CalibrationCard,
    load_component,
    save_component,
)
from services.mapper.training.examples import content_hash, training_set
from tests.unit.mapper import tiny
from tests.unit.mapper.shipped import COMPONENT, component, examples, taxonomy
from trimtab.artifacts.manifest import (
    ArtifactCorrupt,
    ArtifactError,
    ArtifactMissing,
    read_manifest,
    write_manifest,
)

CARD_OF_TINY = AdapterCard(
    taxonomy="ai-safety",
    taxonomy_hash="0" * 12,
    namespace="single_vector.tiny.4.v1",
    dimension=tiny.DIMENSION,
    labels=list(tiny.LABELS),
    buckets=tiny.BUCKETS,
    weights=dict(tiny.adapter().weights),
    training={},
)
LINE = CalibrationCard(
    kind=Kind.ISOTONIC,
    raw=[0.0, 1.0],
    calibrated=[0.0, 1.0],
    answers=1,
    error_before=0,
    error_after=0,
)


def saved(folder: Path, card: AdapterCard = CARD_OF_TINY, line: CalibrationCard = LINE) -> Path:
    save_component(folder, "tiny@1", tiny.adapter(), card, line)
    return folder


def reseal(folder: Path) -> None:
    write_manifest(folder, name="tiny", version="1", kind=KIND)


def test_a_loaded_adapter_answers_like_the_saved_one_whatever_its_memory_order(
    tmp_path: Path,
) -> None:
    queries = tiny.unit(np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32))
    texts = [f"hate {i}" for i in range(20)]

    loaded = load_component(saved(tmp_path)).adapter

    expected = tiny.adapter().probabilities(queries, texts)
    assert np.abs(loaded.probabilities(queries, texts) - expected).max() < 0.02
    kept, whole = loaded.dense, tiny.adapter().dense
    assert kept is not None
    assert whole is not None
    assert kept.weight.tolist() == whole.weight.tolist()


def test_the_same_numbers_make_the_same_bytes(tmp_path: Path) -> None:
    first, second = saved(tmp_path / "a"), saved(tmp_path / "b")

    assert read_manifest(first).hash == read_manifest(second).hash


@pytest.mark.parametrize("name", [CARD, CALIBRATION, HEAD])
def test_a_changed_byte_is_refused(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path) / name
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)

    with pytest.raises(ArtifactCorrupt, match="sha256"):
        load_component(tmp_path)


@pytest.mark.parametrize("name", [CARD, CALIBRATION, HEAD])
def test_a_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    (saved(tmp_path) / name).unlink()
    with pytest.raises(ArtifactMissing):
        load_component(tmp_path)

    reseal(tmp_path)
    with pytest.raises(ArtifactCorrupt):
        load_component(tmp_path)


@pytest.mark.parametrize(
    ("card", "line", "problem"),
    [
        pytest.param({"dimension": 5}, {}, "not .[0-9]+, 5.", id="dimension"),
        pytest.param({"buckets": 31}, {}, "not .3[12](, [36])?", id="buckets"),
        pytest.param({"labels": ["A.B", "C.D"]}, {}, "points outside|not .2", id="labels"),
        pytest.param({"weights": {}}, {}, "must weigh at least one", id="weights"),
        pytest.param({}, {"raw": [1.0, 0.0]}, "corners must rise", id="calibration falls"),
        pytest.param({}, {"raw": [0.0]}, "as many raw", id="calibration of two lengths"),
        pytest.param(
            {}, {"kind": "temperature", "temperature": 0.0}, "greater than 0", id="no temperature"
        ),
        pytest.param(
            {}, {"kind": "platt", "slope": -1.0}, "slope of 0 or more", id="a sigmoid that falls"
        ),
        pytest.param({}, {"kind": "guess"}, "does not parse", id="calibration of an unknown kind"),
    ],
)
def test_parts_that_do_not_fit_each_other_are_refused(
    tmp_path: Path, card: dict[str, object], line: dict[str, object], problem: str
) -> None:
    wrong_card = msgspec.structs.replace(CARD_OF_TINY, **card)
    wrong_line = msgspec.structs.replace(LINE, **line)

    with pytest.raises(ArtifactCorrupt, match=problem):
        load_component(saved(tmp_path, wrong_card, wrong_line))


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("dense.bias", np.array([0, np.nan, 0], np.float32), "not finite"),
        ("dense.extra", np.zeros(1, np.float32), "does not hold exactly"),
        ("examples.labels", np.array([2, 0, 0, 0, 0], np.int32), "does not rise"),
        ("examples.labels", np.array([0, 0, 0, 0, 9], np.int32), "points outside"),
        ("network.out", np.full((tiny.HIDDEN, 3), np.inf, np.float16), "not finite"),
        ("network.bias", np.zeros(tiny.HIDDEN + 1, np.float32), "network"),
        ("terms.labels", np.full(tiny.BUCKETS, 3, np.int32), "points outside"),
        ("terms.starts", np.zeros(tiny.BUCKETS + 1, np.int32), "does not rise from the first"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(
    tmp_path: Path, name: str, value: np.ndarray, problem: str
) -> None:
    path = saved(tmp_path) / HEAD
    path.write_bytes(save(load(path.read_bytes()) | {name: value}))
    reseal(tmp_path)

    with pytest.raises(ArtifactCorrupt, match=problem):
        load_component(tmp_path)


@pytest.mark.parametrize("feature", list(Feature))
def test_an_adapter_without_one_of_its_scores_is_kept_without_it(
    tmp_path: Path, feature: Feature
) -> None:
    weights = {name: weight for name, weight in CARD_OF_TINY.weights.items() if name != feature}
    card = msgspec.structs.replace(CARD_OF_TINY, weights=weights)
    lean = replace(tiny.adapter(), weights=weights)
    parts = {Feature.DENSE: "dense", Feature.LEXICAL: "words", Feature.NETWORK: "network"}
    parts |= {Feature.SENTENCE: "sentences", Feature.TERMS: "terms"}
    without: dict[str, Any] = {parts[feature]: None} if feature in parts else {}
    lean = replace(lean, **without)
    queries = tiny.unit(np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32))

    save_component(tmp_path, "tiny@1", lean, card, LINE)

    loaded = load_component(tmp_path).adapter
    expected = lean.probabilities(queries, ["hate"] * 5)
    assert loaded.features == lean.features
    assert np.abs(loaded.probabilities(queries, ["hate"] * 5) - expected).max() < 0.08


@pytest.mark.parametrize("calibration", [Temperature(1.7), Platt(0.8, -0.2), Line((0.2,), (0.4,))])
def test_every_kind_of_calibration_survives_the_file(
    tmp_path: Path, calibration: Temperature | Platt | Line
) -> None:
    told = CalibrationCard.of(calibration, answers=9, before=0.2, after=0.1)

    assert load_component(saved(tmp_path, line=told)).adapter.calibration == calibration


def test_a_component_for_other_labels_is_foreign(tmp_path: Path) -> None:
    own = load_component(saved(tmp_path))
    other = replace(own, card=msgspec.structs.replace(own.card, taxonomy="attack"))
    gone = replace(own, card=msgspec.structs.replace(own.card, labels=["HARM.Gone"]))

    assert own.foreign_to(taxonomy()) == ""
    assert "taxonomy attack" in other.foreign_to(taxonomy())
    assert "HARM.Gone" in gone.foreign_to(taxonomy())


def test_a_pickle_among_the_files_is_refused_unopened(tmp_path: Path) -> None:
    (saved(tmp_path) / "extra.pkl").write_bytes(b"\x80\x04.")

    with pytest.raises(ArtifactError, match="pickle"):
        reseal(tmp_path)


def test_the_shipped_component_was_trained_on_the_shipped_taxonomy_and_examples() -> None:
    card = component().card

    assert card.taxonomy_hash == taxonomy().hash, "train again: python -m services.mapper.train"
    assert card.training["examples_hash"] == content_hash(training_set(examples()))
    assert tuple(card.labels) == tuple(taxonomy().labels)
    assert component().foreign_to(taxonomy()) == ""


def test_the_shipped_component_is_small_and_its_confidence_calibrated() -> None:
    size = sum(path.stat().st_size for path in COMPONENT.iterdir())
    line = msgspec.json.decode((COMPONENT / CALIBRATION).read_bytes(), type=CalibrationCard)

    assert size < 2_000_000
    assert line.answers > 1000
    assert line.error_after <= line.error_before
    assert line.error_after < 0.05


def test_anchors_survive_as_bytes_within_half_a_percent() -> None:
    rows = tiny.unit(np.random.default_rng(3).standard_normal((50, 384)).astype(np.float32))
    kept = Anchors.of(rows, np.zeros(50, np.int64))
    restored = np.rint(kept.vectors * 127).astype(np.int8).astype(np.float32)

    cosines = np.einsum("ij,ij->i", tiny.unit(restored), rows)
    assert cosines.min() > 0.995
