"""MITRE ATT&CK as a mapping task: procedure sentences to techniques, actors either taught or asked.

A fifth of the actors, drawn by the hash of their names, is asked; nothing was tuned on them.
"""

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.encoder_quality import BUILT, encode
from services.encoder.build import build_component
from services.encoder.component import open_component
from services.encoder.shipped import DEFAULT
from services.mapper.definitions.taxonomy import Taxonomy
from services.mapper.taxonomy_import import Source, import_taxonomy, write_examples
from services.mapper.training.corpus import Corpus, Indices, assemble, wanted_texts
from services.mapper.training.examples import Example, read_examples, training_set
from trimtab.contracts.mapping import FREE_TEXT
from trimtab.corpus.vectors import Space, VectorsUnusable, read_vectors, write_vectors

DATA = Path("../shared/data/attack")
"""Where the data lies; the project does not ship it."""

KEPT = Path("var/bench/mapper")
"""Vectors of earlier runs, by how many texts they are of."""

_FOLDS = 5


@dataclass(frozen=True, slots=True)
class Task:
    """What is taught and what is asked."""

    taxonomy: Taxonomy
    """Techniques with parents and tactics."""
    corpus: Corpus
    """Every sentence and all that the taxonomy says."""
    actors: tuple[str, ...]
    """Of each sentence."""
    asked: Indices
    """Rows of the sentences whose actors are asked."""
    taught: Indices
    """All others."""


def load(*, quick: bool) -> Task:
    """Return the task; a quick one has few actors.

    Raises:
        FileNotFoundError: the data is not here.
    """
    taxonomy, examples = _read()
    if quick:
        examples = [e for e in examples if _bucket(e.group, 40) < 2]
    texts = wanted_texts(taxonomy, examples)
    corpus = assemble(taxonomy, examples, _vectors(texts))
    actors = tuple(example.group for example in examples)
    held = np.array([_bucket(actor, 40 if quick else _FOLDS) == 0 for actor in actors])
    return Task(taxonomy, corpus, actors, np.flatnonzero(held), np.flatnonzero(~held))


def _read() -> tuple[Taxonomy, list[Example]]:
    techniques, procedures = DATA / "techniques.jsonl", DATA / "procedures.jsonl"
    if not techniques.is_file() or not procedures.is_file():
        raise FileNotFoundError(f"{DATA} is not here")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        taxonomy, _ = import_taxonomy(techniques, Source.ATTACK, "", "1", out, lambda line: None)
        rows = out / "examples.jsonl"
        write_examples(procedures, taxonomy, rows)
        return taxonomy, list(training_set(tuple(read_examples(rows, FREE_TEXT, taxonomy))))


def _bucket(actor: str, count: int) -> int:
    return int(hashlib.sha256(actor.encode()).hexdigest(), 16) % count


def _vectors(texts: list[str]) -> NDArray[np.float32]:
    space = Space("single_vector.minilm.384.v1", DEFAULT)
    kept = KEPT / f"attack-{len(texts)}.safetensors"
    try:
        return read_vectors(kept, texts, space)
    except VectorsUnusable:
        backend = open_component(build_component(DEFAULT, BUILT, lambda line: None))
        vectors = encode(backend, texts, DEFAULT)
        write_vectors(kept, vectors, texts, space)
        return vectors
