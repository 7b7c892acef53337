"""Who decides, the model or the rules, and what the answer then is. Pure.

* In ``rules_only`` mode the rules decide and the model is not asked.
* A meaning that stands in the detector's own file is certain and the model is not asked either: a
  written rule is never overruled by a guess. That is no fallback, so it carries no reason.
* Everything else, free text above all, the model decides when its confidence reaches the threshold.
* Otherwise the rules decide, with exactly one reason for the whole request.

``decided_by`` says ``model`` only when no part fell back, and ``unknown`` exactly when the answer is
``OTHER.Unknown``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.mapper.answer import ModelAnswer
from services.mapper.definitions.taxonomy import Taxonomy
from services.mapper.rules import NOTHING, RuleAnswer, specific
from trimtab.contracts.mapping import UNKNOWN, DecidedBy, FallbackReason, MappingMode

ModelOutcome = ModelAnswer | FallbackReason
"""What came of asking the model about one part."""

_GRAVEST_FIRST = (
    FallbackReason.KILL_SWITCH,
    FallbackReason.INVALID_OUTPUT,
    FallbackReason.MODEL_ERROR,
    FallbackReason.TIMEOUT,
    FallbackReason.CIRCUIT_OPEN,
    FallbackReason.UNKNOWN_DETECTOR,
    FallbackReason.LOW_CONFIDENCE,
)
"""Of several parts' reasons the first of these is the request's."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a request is decided under."""

    mode: MappingMode
    """Whether the model may decide."""
    threshold: float
    """Least confidence with which it may."""
    declared: bool
    """Whether the detector is declared, or the output is free text."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to a part, or to a whole request."""

    labels: tuple[str, ...]
    """Best first; ``OTHER.Unknown`` alone when nobody knew."""
    scores: Mapping[str, float]
    """0..1 of each label."""
    confidence: float
    """0..1; of a request the least of its parts'."""
    decided_by: DecidedBy
    """Model, rules, or nobody."""
    reason: FallbackReason | None
    """Why the model did not decide although it was its turn; None otherwise."""


def asks_model(rules: Sequence[RuleAnswer], policy: Policy) -> list[int]:
    """Return the places of the parts that the model must be asked about."""
    if policy.mode is MappingMode.RULES_ONLY:
        return []
    return [place for place, answer in enumerate(rules) if not answer.certain]


def decide(
    rules: Sequence[RuleAnswer],
    outcomes: Mapping[int, ModelOutcome],
    policy: Policy,
    taxonomy: Taxonomy,
) -> Decision:
    """Return the answer of a request.

    ``rules`` holds one answer per part of the output; ``outcomes`` one per place of
    :func:`asks_model`.
    """
    parts = [
        _part(answer, outcomes.get(place), policy)
        for place, answer in enumerate(rules)
        if not answer.denied or len(rules) == 1
    ]
    if not parts:
        return _by_rules(NOTHING, _switch(policy))
    labels = specific(tuple(label for part in parts for label in part.labels), taxonomy)
    scores = {label: max(part.scores.get(label, 0.0) for part in parts) for label in labels}
    reasons = {part.reason for part in parts}
    reason = next((each for each in _GRAVEST_FIRST if each in reasons), None)
    return Decision(
        labels=tuple(sorted(labels, key=lambda label: -scores[label])),
        scores=scores,
        confidence=min(part.confidence for part in parts),
        decided_by=_decider(labels, parts, reason),
        reason=reason,
    )


def _part(rules: RuleAnswer, outcome: ModelOutcome | None, policy: Policy) -> Decision:
    if policy.mode is MappingMode.RULES_ONLY:
        return _by_rules(rules, FallbackReason.KILL_SWITCH)
    if rules.certain:
        return _by_rules(rules, None)
    if not isinstance(outcome, ModelAnswer):
        return _by_rules(rules, outcome or FallbackReason.MODEL_ERROR)
    unsure = outcome.confidence < policy.threshold
    # A model that recognises nothing does not silence an alias that does.
    silent = outcome.labels == (UNKNOWN,) and rules.labels != (UNKNOWN,)
    if unsure or silent:
        return _by_rules(
            rules,
            FallbackReason.LOW_CONFIDENCE if policy.declared else FallbackReason.UNKNOWN_DETECTOR,
        )
    decided_by: DecidedBy = "unknown" if outcome.labels == (UNKNOWN,) else "model"
    return Decision(outcome.labels, outcome.scores, outcome.confidence, decided_by, None)


def _by_rules(rules: RuleAnswer, reason: FallbackReason | None) -> Decision:
    decided_by: DecidedBy = "unknown" if rules.labels == (UNKNOWN,) else "rules"
    scores = dict.fromkeys(rules.labels, rules.confidence)
    return Decision(rules.labels, scores, rules.confidence, decided_by, reason)


def _decider(
    labels: tuple[str, ...], parts: Sequence[Decision], reason: FallbackReason | None
) -> DecidedBy:
    if labels == (UNKNOWN,):
        return "unknown"
    by_model = reason is None and any(part.decided_by == "model" for part in parts)
    return "model" if by_model else "rules"


def _switch(policy: Policy) -> FallbackReason | None:
    return FallbackReason.KILL_SWITCH if policy.mode is MappingMode.RULES_ONLY else None
