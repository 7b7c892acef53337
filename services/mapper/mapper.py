"""One served mapper: definitions, and a model when there is one; a request in, a reply out.

Works without a model: then the rules answer, and :attr:`Mapper.problem` says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from services.mapper import rules
from services.mapper.answer import AnswerCheck, ModelAnswer
from services.mapper.decide import Decision, ModelOutcome, Policy, asks_model, decide
from services.mapper.definitions.detectors import Detector, Detectors
from services.mapper.definitions.frameworks import Frameworks
from services.mapper.definitions.taxonomy import Taxonomy
from services.mapper.model.component import Component
from trimtab.contracts.errors import DimensionMismatch, InvalidMessage, UnknownTaxonomy
from trimtab.contracts.mapping import (
    FREE_TEXT,
    MAX_PARTS,
    FallbackReason,
    MapReply,
    MapRequest,
    parts_of,
    text_of,
)
from trimtab.telemetry.logs import Logger

NO_ADAPTER = "none"
"""Version of the adapter when the rules serve alone."""

NO_FRAMEWORKS = "none"
"""Version of the frameworks when nobody said which controls the labels bear on."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """A reply, and what happened on the way to it."""

    reply: MapReply
    """For the caller."""
    detector: str
    """Declared name, ``text`` or ``other``: a label value that no request can invent."""
    model_calls: int
    """0 or 1; all parts go in one."""
    valid: int
    """Model answers that fit the schema."""
    invalid: int
    """Model answers that did not."""
    confidences: tuple[float, ...]
    """Calibrated confidence of each valid model answer."""


@dataclass(frozen=True, slots=True)
class Mapper:
    """Answers requests of one component reference."""

    taxonomy: Taxonomy
    """Labels that may come out."""
    detectors: Detectors
    """Declared outputs."""
    component: Component | None
    """The model; None serves rules alone."""
    threshold: float
    """Least confidence with which the model may decide, unless the request names one."""
    log: Logger
    """For a model that raises."""
    frameworks: Frameworks | None = None
    """Controls that the labels bear on; None: nobody said which."""
    check: AnswerCheck = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "check", AnswerCheck.of(self.taxonomy.labels))

    def map(self, request: MapRequest) -> Mapped:
        """Answer a request.

        Raises:
            UnknownTaxonomy: it asks for another taxonomy.
            InvalidMessage: it has too many parts, or not one vector per part.
            DimensionMismatch: its vectors are not of the model's dimension.
        """
        if request.taxonomy != self.taxonomy.name:
            raise UnknownTaxonomy(request.taxonomy, (self.taxonomy.name,))
        parts = parts_of(request.output)
        self._check(request, parts)
        detector = self.detectors.get(request.detector)
        policy = Policy(
            mode=request.mode,
            threshold=self.threshold if request.threshold is None else request.threshold,
            declared=detector is not None or request.detector == FREE_TEXT,
        )
        by_rules = [rules.apply(part, detector, self.taxonomy) for part in parts]
        asked = asks_model(by_rules, policy)
        outcomes, called = self._ask(request, parts, asked)
        decision = decide(by_rules, outcomes, policy, self.taxonomy)
        answers = [outcome for outcome in outcomes.values() if isinstance(outcome, ModelAnswer)]
        return Mapped(
            reply=self._reply(request, decision, detector),
            detector=request.detector if policy.declared else "other",
            model_calls=int(called),
            valid=len(answers),
            invalid=sum(o is FallbackReason.INVALID_OUTPUT for o in outcomes.values()),
            confidences=tuple(answer.confidence for answer in answers),
        )

    def _check(self, request: MapRequest, parts: list[str]) -> None:
        if len(parts) > MAX_PARTS:
            raise InvalidMessage(
                "MapRequest", f"output has {len(parts)} parts, at most {MAX_PARTS}"
            )
        vectors = request.vectors
        if vectors is None:
            return
        if vectors.rows != len(parts):
            raise InvalidMessage("MapRequest", f"{vectors.rows} vectors for {len(parts)} parts")
        if self.component is not None and vectors.dim != self.component.card.dimension:
            raise DimensionMismatch("vectors", vectors.dim, self.component.card.dimension)

    def _ask(
        self, request: MapRequest, parts: list[str], asked: list[int]
    ) -> tuple[dict[int, ModelOutcome], bool]:
        """Return the model's outcome for the asked places, and whether it was called."""
        if not asked:
            return {}, False
        if request.vectors is None or self.component is None:
            reason = request.fallback or FallbackReason.MODEL_ERROR
            return dict.fromkeys(asked, reason), False
        vectors = request.vectors.array().astype(np.float32)[asked]
        texts = [text_of(request.detector, parts[place]) for place in asked]
        try:
            raw = self.component.adapter.answer(vectors, texts)
        except Exception:  # whatever a model raises, the rules still answer
            self.log.exception("model_failed")
            return dict.fromkeys(asked, FallbackReason.MODEL_ERROR), True
        accepted = [self.check.accept(_document(label, score)) for label, score in raw]
        outcomes = [answer or FallbackReason.INVALID_OUTPUT for answer in accepted]
        return dict(zip(asked, outcomes, strict=True)), True

    def _reply(
        self, request: MapRequest, decision: Decision, detector: Detector | None
    ) -> MapReply:
        return MapReply(
            taxonomy=list(decision.labels),
            scores=dict(decision.scores),
            confidence=decision.confidence,
            decided_by=decision.decided_by,
            fallback_reason=decision.reason,
            mode=request.mode,
            versions=self.versions(detector),
            controls=self._controls(decision.labels),
        )

    def _controls(self, labels: Sequence[str]) -> dict[str, list[str]]:
        return {} if self.frameworks is None else self.frameworks.controls_of(labels)

    def versions(self, detector: Detector | None = None) -> dict[str, str]:
        """Return name, version and content of everything that decides."""
        content = f"{self.taxonomy.hash}.{self.detectors.hash}"
        component = self.component
        versions = {
            "taxonomy": self.taxonomy.reference,
            "frameworks": self.frameworks.reference if self.frameworks else NO_FRAMEWORKS,
            "detectors": f"detectors+{self.detectors.hash}",
            "adapter": f"{component.reference}+{component.content_hash[:12]}"
            if component
            else NO_ADAPTER,
            "rules": f"{rules.RULES_VERSION}+{content}",
        }
        return versions if detector is None else {**versions, "detector": detector.reference}


def _document(label: str, confidence: float) -> dict[str, Any]:
    return {"taxonomy": [label], "scores": {label: confidence}, "confidence": confidence}
