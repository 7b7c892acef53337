"""A component of learned sparse vectors in service: texts to their heaviest terms, one text at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from services.encoder.names import MASK, TERMS, TOKEN_IDS
from services.encoder.onnx_engine import open_session
from services.encoder.sparse.checkpoint import vocabulary_hash
from services.encoder.sparse.pruning import Pruning, pruned
from services.encoder.sparse.spec import SparseSpec, read_spec
from services.encoder.tokenizer import TextTokenizer, fit
from trimtab.artifacts.manifest import ArtifactCorrupt, verify
from trimtab.contracts.errors import ModelFailed
from trimtab.contracts.sparse import SparseRow, SparseSpace


@dataclass(frozen=True)
class SparseModel:
    """Makes the vectors of one space; called from one thread."""

    spec: SparseSpec
    """What it promises."""
    tokenizer: TextTokenizer
    """Its tokenizer."""
    session: Any
    """ONNX Runtime's."""
    pruning: Pruning
    """How much is kept."""

    @property
    def space(self) -> SparseSpace:
        """Of its vectors."""
        return self.spec.space

    def encode(self, texts: Sequence[str]) -> list[SparseRow]:
        """Return the vector of each text, uncapped, with as many terms as the kind that keeps most.

        A text over the budget is cut; one that stands for nothing has no terms.

        Raises:
            ModelFailed: the engine raised, or what it made are no weights.
        """
        return [self._encode(text) for text in texts]

    def _encode(self, text: str) -> SparseRow:
        fitted = fit(self.tokenizer.ids(text), self.tokenizer.specials, self.spec.max_tokens)
        ids = np.array([fitted.ids], dtype=np.int64)
        try:
            (weights,) = self.session.run([TERMS], {TOKEN_IDS: ids, MASK: np.ones_like(ids)})
        # ONNX Runtime's own exceptions share no public base class.
        except Exception as error:
            raise ModelFailed("onnxruntime (sparse)") from error
        if weights.shape != (1, self.space.size) or not np.isfinite(weights).all():
            raise ModelFailed(f"{self.space.namespace} (its output holds no weights)")
        return pruned(weights[0], self.pruning.most)


def open_model(folder: Path, pruning: Pruning, threads: int = 1) -> SparseModel:
    """Load a component after its checksums and its vocabulary were checked.

    Raises:
        ArtifactError: a checksum differs, a file is missing, or the tokenizer is not of the space.
        PackageMissing: ONNX Runtime is not installed.
    """
    verify(folder)
    spec = read_spec(folder)
    found = vocabulary_hash(folder / spec.tokenizer, spec.space.size)
    if found != spec.space.vocabulary:
        raise ArtifactCorrupt(folder.name, spec.tokenizer, "has another vocabulary than its space")
    tokenizer = TextTokenizer.load(folder / spec.tokenizer)
    return SparseModel(spec, tokenizer, open_session(folder / spec.model, threads), pruning)
