"""Golden cases through the mapper of this installation, in this process: no deployment, no release, no queue."""

import argparse
import time
from collections.abc import Callable, Sequence

from services.mapper.alone import vectors as vectors_of
from services.mapper.definitions.detectors import Detectors
from services.mapper.definitions.taxonomy import Taxonomy
from services.mapper.mapper import Mapper
from services.mapper.model.component import Component
from services.mapper.quality.cases import GoldenCase
from services.mapper.quality.scoring import Answer
from trimtab.contracts.errors import TrimtabError
from trimtab.contracts.mapping import MappingMode, MapRequest, parts_of, text_of
from trimtab.contracts.tensor import Matrix
from trimtab.telemetry import logs

Rows = dict[str, int]


def mapper_of(
    taxonomy: Taxonomy, detectors: Detectors, component: Component | None, threshold: float
) -> Mapper:
    """Return the mapper that a worker would serve; without a component it is rules alone."""
    return Mapper(taxonomy, detectors, component, threshold, logs.get("mapper", "quality"))


async def requests(
    cases: Sequence[GoldenCase],
    taxonomy: str,
    options: argparse.Namespace | None,
    report: Callable[[str], None],
) -> list[MapRequest]:
    """Return each case as the gateway asks it; without ``options`` in rules_only mode, as no encoder is asked.

    Raises:
        VectorsUnusable: the file of vectors cannot be used, or no encoder is installed.
        TrimtabError: what the encoder or the bus answered.
    """
    if options is None:
        return [_request(case, taxonomy, None) for case in cases]
    texts = list(dict.fromkeys(text for case in cases for text in _texts(case)))
    vectors = await vectors_of(options, texts, report)
    places = {text: place for place, text in enumerate(texts)}
    return [
        _request(case, taxonomy, Matrix.of(vectors[[places[text] for text in _texts(case)]]))
        if _texts(case)
        else _request(case, taxonomy, None, MappingMode.HYBRID)
        for case in cases
    ]


def answers(mapper: Mapper, asked: Sequence[MapRequest]) -> list[Answer]:
    """Return the answer to each request."""
    return [_answer(mapper, request) for request in asked]


def _answer(mapper: Mapper, request: MapRequest) -> Answer:
    began = time.perf_counter()
    try:
        reply = mapper.map(request).reply
    except TrimtabError as error:
        return Answer((), None, None, _ms(began), type(error).__name__)
    return Answer(tuple(reply.taxonomy), reply.decided_by, reply.fallback_reason, _ms(began))


def _texts(case: GoldenCase) -> list[str]:
    return [text_of(case.detector, part) for part in parts_of(case.output)]


def _request(
    case: GoldenCase,
    taxonomy: str,
    vectors: Matrix | None,
    mode: MappingMode = MappingMode.RULES_ONLY,
) -> MapRequest:
    return MapRequest(
        taxonomy=taxonomy,
        detector=case.detector,
        output=case.output,
        vectors=vectors,
        mode=mode if vectors is None else MappingMode.HYBRID,
    )


def _ms(began: float) -> float:
    return 1000 * (time.perf_counter() - began)
