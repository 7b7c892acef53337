from pathlib import Path

import numpy as np
import pytest

from services.mapper import train as command
from services.mapper.model.component import load_component
from services.mapper.settings import MapperSettings
from services.mapper.train import train
from services.mapper.training.corpus import wanted_texts
from services.mapper.training.fit import Recipe
from tests.unit.mapper import tiny
from tests.unit.mapper.shipped import examples, taxonomy
from trimtab.worker.settings import InvalidSettings

SPACE = "single_vector.tiny.4.v1"


def test_training_writes_a_component_that_loads_and_answers(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="training needs the extra trimtab[train]")
    few = [e for e in examples() if e.teaches and e.labels[0].startswith("SELF_HARM")]
    texts = wanted_texts(taxonomy(), few)
    vectors = tiny.unit(
        np.random.default_rng(0).standard_normal((len(texts), 8)).astype(np.float32)
    )

    _, manifest = train(
        taxonomy(), few, vectors, SPACE, "mine@2", tmp_path, Recipe(buckets=64, folds=2)
    )

    loaded = load_component(tmp_path)
    assert (manifest.reference, loaded.card.taxonomy) == ("mine@2", "ai-safety")
    assert loaded.card.training["examples"] == len(few)
    label, confidence = loaded.adapter.answer(vectors[:1], texts[:1])[0]
    assert label in taxonomy().labels
    assert 0.0 <= confidence <= 1.0


def test_the_command_says_in_one_line_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = str(tmp_path / "absent.safetensors")

    assert command.main(["--name", "mine", "--vectors", absent]) == 1
    assert "error: absent.safetensors cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("threshold", ["0.29", "0.91", "sure"])
def test_a_threshold_outside_its_bounds_is_refused(
    monkeypatch: pytest.MonkeyPatch, threshold: str
) -> None:
    monkeypatch.setenv("MAPPER_CONFIDENCE_THRESHOLD", threshold)

    with pytest.raises(InvalidSettings, match="MAPPER_CONFIDENCE_THRESHOLD"):
        MapperSettings.load()


def test_an_unknown_variable_of_the_mapper_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAPPER_TRESHOLD", "0.5")

    with pytest.raises(InvalidSettings, match="MAPPER_TRESHOLD"):
        MapperSettings.load()
