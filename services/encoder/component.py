"""The encoder of a component folder: its tokenizer, its model file on an engine, its token basis."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from services.encoder.backend import BatchLimits, Encoded
from services.encoder.basis import TokenBasis
from services.encoder.engine import Engine
from services.encoder.spec import EncoderSpec, read_spec
from services.encoder.tokenizer import Specials, TextTokenizer

LIMITS = BatchLimits(texts=16, tokens=512)
"""Texts run one by one, so a larger batch gains nothing; 512 tokens are some 30 ms."""


@dataclass(frozen=True)
class ComponentBackend:
    """An :class:`EncoderBackend` made of a verified component folder."""

    spec: EncoderSpec
    """What it promises."""
    tokenizer: TextTokenizer
    """Its tokenizer."""
    basis: TokenBasis
    """Its projection of token vectors."""
    engine: Engine
    """Its model."""

    @property
    def namespace(self) -> str:
        """Vector space."""
        return self.spec.namespace

    @property
    def dimension(self) -> int:
        """Numbers per vector."""
        return self.spec.dimension

    @property
    def max_tokens(self) -> int:
        """Token budget of one text."""
        return self.spec.max_tokens

    @property
    def profile(self) -> str:
        """How the vectors are computed."""
        return self.spec.profile

    @property
    def gives_tokens(self) -> bool:
        """Always: the graph has them as an output."""
        return True

    @property
    def limits(self) -> BatchLimits:
        """Small: a question need not wait for long passages."""
        return LIMITS

    @property
    def specials(self) -> Specials:
        """Special tokens around every text."""
        return self.tokenizer.specials

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return all token ids of each text."""
        return [self.tokenizer.ids(text) for text in texts]

    def encode(self, ids: Sequence[Sequence[int]], *, tokens: bool) -> Encoded:
        """Run the texts one by one.

        int8 activations share one scale per call, so in a batch a text's vector would depend on its
        neighbours (cosine 0.987 to itself, measured), and padding costs more than batching saves.
        """
        rows = [self.engine.run(np.array([text], dtype=np.int64), tokens=tokens) for text in ids]
        vectors = np.concatenate([vector for vector, _ in rows])
        small = tuple(self.basis.project(matrix) for _, matrix in rows if matrix is not None)
        return Encoded(vectors, small if tokens else None)

    def close(self) -> None:
        """Nothing to do: the model goes with its last reference."""


def open_component(folder: Path, threads: int = 1) -> ComponentBackend:
    """Load a verified encoder component on the engine that it names.

    Raises:
        ArtifactCorrupt: its description or one of its files is not what it must be.
        PackageMissing: the engine is not installed.
    """
    spec = read_spec(folder)
    return ComponentBackend(
        spec,
        TextTokenizer.load(folder / spec.tokenizer),
        TokenBasis.load(folder / spec.token_basis),
        _engine(spec, folder / spec.model, threads),
    )


def _engine(spec: EncoderSpec, model: Path, threads: int) -> Engine:
    # Imported here: each engine is an optional package of its own.
    if spec.engine == "openvino":
        from services.encoder.openvino_engine import OpenVinoEngine

        return OpenVinoEngine.load(model, threads)
    from services.encoder.onnx_engine import OnnxEngine

    return OnnxEngine.load(model, threads)
