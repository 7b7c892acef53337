"""One served mapper: definitions, and a model when there is one; a request in, a reply out.

Works without a model: then the rules answer, and :attr:`Mapper.problem` says why.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from services.mapper import rules
from services.mapper.answer import ModelAnswer
from services.mapper.decide import Decision, ModelOutcome, Policy, asks_model, decide
from services.mapper.definitions.detectors import Detector, Detectors
from services.mapper.definitions.frameworks import Frameworks
from services.mapper.definitions.taxonomy import Taxonomy
from services.mapper.engines.engine import Question
from services.mapper.engines.guard import AT_LEISURE, Outcome, Terms
from services.mapper.engines.served import Served, head
from services.mapper.model.component import Component
from trimtab.contracts.errors import (
    DeadlineExceeded,
    DimensionMismatch,
    InvalidMessage,
    UnknownFramework,
    UnknownTaxonomy,
)
from trimtab.contracts.labels import check_labels, check_raw
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
    """All parts go in one call of a model in this process; over the network each is one. Retries count."""
    retries: int
    """Of these the ones made again, after an answer that was not usable."""
    valid: int
    """Model answers that fit the schema."""
    invalid: int
    """Model answers that did not."""
    confidences: tuple[float, ...]
    """Calibrated confidence of each valid model answer."""
    tellable: bool = False
    """Whether operators may be told the output itself, when nobody knew it."""


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
    served: Served | None = None
    """Another engine in the component's place; None: the component itself."""
    frameworks: Frameworks | None = None
    """Controls that the labels bear on; None: nobody said which."""

    def __post_init__(self) -> None:
        if self.served is None and self.component is not None:
            object.__setattr__(self, "served", head(self.component, self.taxonomy, self.log))

    def map(self, request: MapRequest) -> Mapped:
        """Answer a request in one step, with a model in this process; raises as :meth:`answer` does."""
        steps = self.answer(request, AT_LEISURE)
        try:
            steps.send(None)
        except StopIteration as done:
            mapped: Mapped = done.value
            return mapped
        steps.close()
        raise RuntimeError("a model over the network is waited for: use answer()")

    async def answer(self, request: MapRequest, terms: Terms) -> Mapped:
        """Answer a request.

        Raises:
            UnknownTaxonomy: it asks for another taxonomy.
            UnknownFramework: it asks for the controls of a framework that is not here.
            InvalidMessage: it has too many parts, or not one vector per part.
            DimensionMismatch: its vectors are not of the model's dimension.
            RawContent: its output is free text, of a detector that says labels.
            DeadlineExceeded: its model is late, and the terms want an error then.
        """
        if request.taxonomy != self.taxonomy.name:
            raise UnknownTaxonomy(request.taxonomy, (self.taxonomy.name,))
        self._check_frameworks(request)
        parts = parts_of(request.output)
        self._check(request, parts)
        detector = self.detectors.get(request.detector)
        _screen(request, detector)
        policy = Policy(
            mode=request.mode,
            threshold=self.threshold if request.threshold is None else request.threshold,
            declared=detector is not None or request.detector == FREE_TEXT,
        )
        by_rules = [rules.apply(part, detector, self.taxonomy) for part in parts]
        asked = asks_model(by_rules, policy)
        outcomes, told = await self._ask(request, parts, asked, terms)
        decision = decide(by_rules, outcomes, policy, self.taxonomy)
        answers = [outcome for outcome in outcomes.values() if isinstance(outcome, ModelAnswer)]
        return Mapped(
            reply=self._reply(request, decision, detector),
            detector=request.detector if policy.declared else "other",
            tellable=detector is not None and detector.tells(request.output),
            model_calls=told.calls,
            retries=told.retries,
            valid=told.valid,
            invalid=told.invalid,
            confidences=tuple(answer.confidence for answer in answers),
        )

    def _check_frameworks(self, request: MapRequest) -> None:
        known = tuple(self.frameworks.forms) if self.frameworks else ()
        for name in request.frameworks or ():
            if name not in known:
                raise UnknownFramework(name, known)

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
        if self.served is not None and vectors.dim != self.served.dimension:
            raise DimensionMismatch("vectors", vectors.dim, self.served.dimension)

    async def _ask(
        self, request: MapRequest, parts: list[str], asked: list[int], terms: Terms
    ) -> tuple[dict[int, ModelOutcome], Outcome]:
        """Return the model's outcome for the asked places, and what was counted on the way."""
        if not asked:
            return {}, Outcome()
        if request.vectors is None or self.served is None:
            reason = request.fallback or FallbackReason.MODEL_ERROR
            if reason is FallbackReason.TIMEOUT and terms.fail_on_timeout:
                raise DeadlineExceeded("encode", terms.remaining_s * 1000)
            return dict.fromkeys(asked, reason), Outcome()
        vectors = request.vectors.array().astype(np.float32)[asked]
        texts = tuple(text_of(request.detector, parts[place]) for place in asked)
        answers, told = await self.served.guard.ask(Question(texts, vectors), terms)
        return dict(zip(asked, answers, strict=True)), told

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
            controls=self._controls(decision.labels, request.frameworks),
        )

    def _controls(
        self, labels: Sequence[str], wanted: Collection[str] | None
    ) -> dict[str, list[str]]:
        return {} if self.frameworks is None else self.frameworks.controls_of(labels, wanted)

    def versions(self, detector: Detector | None = None) -> dict[str, str]:
        """Return name, version and content of everything that decides."""
        content = f"{self.taxonomy.hash}.{self.detectors.hash}"
        served = self.served
        versions = {
            "taxonomy": self.taxonomy.reference,
            "frameworks": self.frameworks.reference if self.frameworks else NO_FRAMEWORKS,
            "detectors": f"detectors+{self.detectors.hash}",
            "adapter": served.version if served else NO_ADAPTER,
            "rules": f"{rules.RULES_VERSION}+{content}",
            **(served.also if served else {}),
        }
        return versions if detector is None else {**versions, "detector": detector.reference}


def _screen(request: MapRequest, detector: Detector | None) -> None:
    """Refuse free text of who says labels; of a detector that nobody declared, what no label can be."""
    if request.detector == FREE_TEXT or (detector is not None and not detector.label_only):
        return
    (check_raw if detector is None else check_labels)(request.detector, request.output)
