import json
from pathlib import Path

import pytest

from services.mapper.engines.card import LORA_FILES, load_engine
from services.mapper.make_engine import main
from services.mapper.model.calibration import Platt
from services.mapper.model.component import CALIBRATION, SHIPPED, CalibrationCard

KIND = ("--kind", "vllm", "--model", "base")


def lora(folder: Path) -> Path:
    folder.mkdir()
    for name in (*LORA_FILES, "README.md"):
        (folder / name).write_text("{}")
    return folder


def test_a_component_is_made_of_a_models_name_and_an_adapter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "made"
    told = CalibrationCard.of(Platt(0.5, 0.1), answers=10, before=0.2, after=0.1)
    calibration = tmp_path / "calibration.json"
    calibration.write_text(json.dumps({f: getattr(told, f) for f in told.__struct_fields__}))
    given = ("--adapter", str(lora(tmp_path / "lora")), "--calibration", str(calibration))

    code = main(["--name", "llama@3", *KIND, *given, "--out", str(out), "--json"])

    files = load_engine(out)
    assert code == 0
    assert json.loads(capsys.readouterr().out) == {
        "component": "llama@3",
        "hash": files.manifest.hash,
        "folder": str(out),
        "server": "vllm",
        "adapter": f"llama@3-{files.manifest.hash[:12]}",
    }
    assert set(files.manifest.files) == {
        "engine.json",
        CALIBRATION,
        *(f"adapter/{name}" for name in LORA_FILES),
    }
    assert files.calibration == Platt(0.5, 0.1)


def test_a_version_that_is_there_is_never_written_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--name", "llama@1", *KIND, "--out", str(tmp_path / "made")]
    assert main(given) == 0

    assert main(given) == 1
    assert "take the next" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("--kind", "magic", "--model", "x"), "magic"),
        ((*KIND, "--count", "1"), "count"),
        ((*KIND, "--candidates", "nobody"), "candidates"),
        ((*KIND, "--calibration", str(SHIPPED / "safety-head@1" / "head.safetensors")), "head"),
        ((*KIND, "--adapter", str(SHIPPED)), "adapter_config.json"),
    ],
)
def test_what_makes_no_sense_is_named_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: tuple[str, ...], says: str
) -> None:
    out = tmp_path / "made"

    code = main(["--name", "llama@1", *given, "--out", str(out)])

    assert code == 1
    assert says in capsys.readouterr().err
    assert not (out / "engine.json").exists()
