"""``encoder.json`` is read closed, and must agree with its own namespace."""

from pathlib import Path

import msgspec
import pytest

from services.encoder.spec import (
    MINILM,
    SPEC,
    EncoderSpec,
    namespace_dimension,
    read_spec,
    write_spec,
)
from trimtab.artifacts.manifest import ArtifactCorrupt

GOOD = EncoderSpec(
    namespace=MINILM,
    dimension=384,
    max_tokens=256,
    profile="minilm-int8",
    engine="onnx",
    model="model.onnx",
    tokenizer="tokenizer.json",
    token_basis="token_basis.safetensors",
)


def test_a_spec_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_spec(GOOD, tmp_path)

    assert read_spec(tmp_path) == GOOD


@pytest.mark.parametrize(
    "change",
    [{"dimension": 768}, {"namespace": "minilm"}, {"engine": "pickle"}, {"max_tokens": 2}],
    ids=["other-dimension", "nameless-namespace", "unknown-engine", "no-room-for-text"],
)
def test_a_spec_that_contradicts_itself_is_refused(
    change: dict[str, object], tmp_path: Path
) -> None:
    fields = msgspec.structs.asdict(GOOD) | change
    (tmp_path / SPEC).write_bytes(msgspec.json.encode(fields))

    with pytest.raises(ArtifactCorrupt):
        read_spec(tmp_path)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"extra": 1}'], ids=["empty", "list", "foreign"])
def test_a_file_that_is_no_spec_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / SPEC).write_bytes(content)

    with pytest.raises(ArtifactCorrupt):
        read_spec(tmp_path)


def test_a_component_without_a_spec_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactCorrupt):
        read_spec(tmp_path)


@pytest.mark.parametrize(
    ("namespace", "dimension"),
    [(MINILM, 384), ("single_vector.e5-large.1024.v2", 1024), ("multi.x.8.v1", None), ("", None)],
)
def test_a_namespace_states_its_dimension(namespace: str, dimension: int | None) -> None:
    assert namespace_dimension(namespace) == dimension
