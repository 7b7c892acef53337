"""The shipped definitions and component, with the vectors that the component was trained on."""

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.mapper.definitions.definitions import SHIPPED_FRAMEWORKS
from services.mapper.definitions.detectors import Detectors, load_detectors
from services.mapper.definitions.frameworks import Frameworks, load_frameworks
from services.mapper.definitions.taxonomy import Taxonomy, load_taxonomy
from services.mapper.mapper import Mapper
from services.mapper.model.component import SHIPPED, Component, load_component
from services.mapper.settings import MapperSettings
from services.mapper.train import EXAMPLES
from services.mapper.training.examples import Example, load_examples, training_set
from trimtab.contracts.mapping import MapRequest, parts_of, text_of
from trimtab.contracts.tensor import Matrix
from trimtab.telemetry import logs

COMPONENT = SHIPPED / "safety-head@1"


@cache
def taxonomy() -> Taxonomy:
    return load_taxonomy(MapperSettings().taxonomy)


@cache
def detectors() -> Detectors:
    return load_detectors(MapperSettings().detectors, taxonomy())


@cache
def examples() -> tuple[Example, ...]:
    return load_examples(EXAMPLES, taxonomy())


@cache
def component() -> Component:
    return load_component(COMPONENT)


@cache
def vectors() -> dict[str, NDArray[np.float32]]:
    """Text -> unit vector of every text that taught the shipped component, as it holds them."""
    adapter, place = component().adapter, {n: i for i, n in enumerate(component().card.labels)}
    taught = sorted(training_set(examples()), key=lambda e: place[e.labels[0]])
    rows = zip(taught, adapter.examples.vectors, strict=True)
    return {example.text: vector for example, vector in rows}


@cache
def frameworks() -> Frameworks:
    return load_frameworks(SHIPPED_FRAMEWORKS / "ai-safety.yaml", taxonomy())


def mapper(model: Component | None = None, *, threshold: float = 0.6) -> Mapper:
    log = logs.get("mapper", "test")
    return Mapper(taxonomy(), detectors(), model, threshold, log, frameworks=frameworks())


def request(output: str, detector: str = "text", **fields: object) -> MapRequest:
    """A request with the vectors that the shipped examples have; one and the same for other texts."""
    texts = [text_of(detector, part) for part in parts_of(output)]
    other = np.eye(1, 384, dtype=np.float32)[0]
    rows = [vectors().get(text, other) for text in texts]
    matrix = Matrix.of(np.stack(rows)) if rows else None
    given = {"taxonomy": "ai-safety", "vectors": matrix} | fields
    return MapRequest(detector=detector, output=output, **given)  # type: ignore[arg-type]


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path
