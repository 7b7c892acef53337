from pathlib import Path

import msgspec
import pytest

from services.mapper.engines.card import (
    CARD,
    LORA,
    LORA_FILES,
    EngineCard,
    is_engine,
    load_engine,
    save_engine,
)
from services.mapper.model.calibration import IDENTITY, Platt, Temperature, of_probability
from services.mapper.model.component import CALIBRATION, SHIPPED, CalibrationCard
from trimtab.artifacts.manifest import ArtifactCorrupt, UnsafeFile, write_manifest

PLAIN = EngineCard(kind="openai", model="any", candidates="safety-head@1")
ADAPTED = EngineCard(kind="vllm", model="base", candidates="safety-head@1")


def adapter(folder: Path, *names: str) -> Path:
    (folder / LORA).mkdir(parents=True)
    for name in names:
        (folder / LORA / name).write_text("{}")
    return folder


def test_what_is_saved_is_loaded_and_is_no_head(tmp_path: Path) -> None:
    told = CalibrationCard.of(Platt(0.5, 0.1), answers=100, before=0.2, after=0.01)
    saved = save_engine(tmp_path, "llm@1", PLAIN, told)

    files = load_engine(tmp_path)

    assert is_engine(tmp_path)
    assert not is_engine(SHIPPED / "safety-head@1")
    assert (files.card, files.manifest) == (PLAIN, saved)
    assert files.calibration == Platt(0.5, 0.1)
    assert files.lora == ""


def test_without_a_calibration_a_probability_is_taken_as_it_is(tmp_path: Path) -> None:
    save_engine(tmp_path, "llm@1", PLAIN)

    assert load_engine(tmp_path).calibration == IDENTITY
    assert of_probability(IDENTITY, 0.3) == pytest.approx(0.3)


def test_a_calibration_of_a_single_probability_keeps_the_order_and_the_range() -> None:
    for calibration in (Temperature(2.5), Platt(0.6, -0.2)):
        found = [of_probability(calibration, raw / 20) for raw in range(21)]

        assert found == sorted(found)
        assert 0.0 <= found[0] < found[-1] <= 1.0


def test_an_adapters_name_at_the_server_holds_version_and_content(tmp_path: Path) -> None:
    one = save_engine(adapter(tmp_path / "one", *LORA_FILES), "llama@1", ADAPTED)
    other = adapter(tmp_path / "other", *LORA_FILES)
    (other / LORA / LORA_FILES[1]).write_text("[]")
    save_engine(other, "llama@1", ADAPTED)

    names = [load_engine(tmp_path / each).lora for each in ("one", "other")]

    assert names[0] == f"llama@1-{one.hash[:12]}"
    assert names[0] != names[1]


def test_an_adapter_is_refused_where_it_would_never_be_used_or_is_not_whole(
    tmp_path: Path,
) -> None:
    save_engine(adapter(tmp_path / "openai", *LORA_FILES), "llm@1", PLAIN)
    save_engine(adapter(tmp_path / "half", LORA_FILES[0]), "llm@1", ADAPTED)

    with pytest.raises(ArtifactCorrupt, match="needs kind vllm"):
        load_engine(tmp_path / "openai")
    with pytest.raises(ArtifactCorrupt, match=r"lacks adapter_model\.safetensors"):
        load_engine(tmp_path / "half")


def test_an_adapter_in_a_pickle_is_not_packed(tmp_path: Path) -> None:
    with pytest.raises(UnsafeFile):
        save_engine(adapter(tmp_path, *LORA_FILES, "adapter_model.bin.pt"), "llm@1", ADAPTED)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (CARD, {"kind": "magic", "model": "any", "candidates": "safety-head@1"}),
        (CARD, {"kind": "openai", "model": "any", "candidates": "safety-head@1", "api_key": "x"}),
        (CALIBRATION, {"kind": "temperature", "temperature": -1.0}),
        (CALIBRATION, ["temperature"]),
    ],
)
def test_a_file_that_makes_no_sense_is_named(tmp_path: Path, name: str, content: object) -> None:
    save_engine(tmp_path, "llm@1", PLAIN)
    (tmp_path / name).write_bytes(msgspec.json.encode(content))
    write_manifest(tmp_path, name="llm", version="1", kind="mapper")

    with pytest.raises(ArtifactCorrupt, match=name):
        load_engine(tmp_path)
