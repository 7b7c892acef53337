"""Builds the shipped encoder components from the published weights: no torch, same bytes every time.

``python -m services.encoder.build minilm-int8@1 FOLDER`` builds one by hand.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import onnx
from safetensors.numpy import load_file

from services.encoder import basis, graph, quantize
from services.encoder.shipped import SHIPPED
from services.encoder.spec import MINILM, EncoderSpec, write_spec
from services.encoder.weights import MODEL, SHA256, TOKENIZER, Report, Weights, locate
from trimtab.artifacts.manifest import ArtifactError, ArtifactMissing, verify, write_manifest

MAX_TOKENS = 256
"""What the model was trained with; longer texts are cut or refused."""

_WRITERS: dict[str, Callable[[onnx.ModelProto, Path], None]] = {
    "minilm-int8@1": quantize.dynamic_int8,
    "minilm-fp32@1": lambda model, path: onnx.save(model, path),
    "minilm-openvino@1": quantize.int8_weights,
}
"""Writes a component's model file from the fp32 graph."""

_MODEL_FILE = "model.onnx"


def build_component(reference: str, into: Path, report: Report) -> Path:
    """Build a shipped component below ``into`` and return its folder; an intact one is reused.

    Downloaded weights are kept in ``weights`` beside ``into``.

    Raises:
        ArtifactMissing: no shipped component has this reference.
        ArtifactError: the weights are not to be had, or not the pinned ones.
    """
    if reference not in SHIPPED:
        raise ArtifactMissing(f"encoder component {reference} (shipped: {', '.join(SHIPPED)})")
    folder = into / reference
    if _intact(folder):
        return folder
    weights = locate(into.parent / "weights", report)
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=into) as scratch:
        made = Path(scratch) / "component"
        made.mkdir()
        report(f"building {reference} from {weights.model.name}")
        _make(reference, weights, made)
        _place(made, folder)
    report(f"built {reference}")
    return folder


def _make(reference: str, weights: Weights, folder: Path) -> None:
    name, _, version = reference.partition("@")
    _WRITERS[reference](graph.build(load_file(weights.model)), folder / _MODEL_FILE)
    shutil.copyfile(weights.tokenizer, folder / TOKENIZER)
    shutil.copyfile(basis.SHIPPED, folder / basis.SHIPPED.name)
    spec = EncoderSpec(
        namespace=MINILM,
        dimension=graph.Architecture().hidden,
        max_tokens=MAX_TOKENS,
        profile=name,
        engine=SHIPPED[reference],
        model=_MODEL_FILE,
        tokenizer=TOKENIZER,
        token_basis=basis.SHIPPED.name,
    )
    write_spec(spec, folder)
    metadata: dict[str, str | int | float | bool] = {
        "namespace": spec.namespace,
        "dimension": spec.dimension,
        "weights_sha256": SHA256[MODEL],
    }
    write_manifest(folder, name=name, version=version, kind="encoder", metadata=metadata)


def _place(made: Path, folder: Path) -> None:
    try:
        made.rename(folder)
    except OSError:
        if not _intact(folder):  # another process built the same meanwhile
            raise


def _intact(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    try:
        verify(folder)
    except ArtifactError:
        shutil.rmtree(folder)
        return False
    return True


def main() -> None:
    """Build one component, a line of progress at a time; an error is the last line."""
    parser = argparse.ArgumentParser(prog="python -m services.encoder.build", description=__doc__)
    parser.add_argument("component", choices=SHIPPED)
    parser.add_argument("into", type=Path, metavar="FOLDER")
    given = parser.parse_args()
    try:
        build_component(given.component, given.into, lambda line: print(line, flush=True))  # noqa: T201
    except ArtifactError as error:
        sys.exit(error.detail)


if __name__ == "__main__":
    main()
