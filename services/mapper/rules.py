"""The rules: what an output means because somebody wrote it down. Pure.

Rule 1: only whole names match, in this order: the detector's label as published, the same in another
spelling, its declared alias, the same with a severity suffix, a declared pattern by priority, any of
these inside a declared pair of brackets or behind a declared prefix, an alias of the taxonomy. What none
of them knows is ``OTHER.Unknown``; a detector's file may also say so of a published name.
Rule 2: a part of a name never matches, so ``""`` and ``not toxic`` are unknown.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from services.mapper.definitions.detectors import Detector, Labels
from services.mapper.definitions.names import normalise
from services.mapper.definitions.patterns import MAX_INPUT_CHARS
from services.mapper.definitions.taxonomy import Taxonomy
from trimtab.contracts.mapping import UNKNOWN

RULES_VERSION = "rules@2"
"""Version of the order above; content of taxonomy and detectors is hashed beside it."""


class Rule(StrEnum):
    """Which rule answered; the order of declaration is the order of trial."""

    EXACT = "exact"
    NORMALISED = "normalised"
    ALIAS = "alias"
    SEVERITY = "severity"
    PATTERN = "pattern"
    TAXONOMY = "taxonomy"
    NONE = "none"


CONFIDENCE: dict[Rule, float] = {
    Rule.EXACT: 1.0,
    Rule.NORMALISED: 0.99,
    Rule.ALIAS: 0.97,
    Rule.SEVERITY: 0.97,
    Rule.PATTERN: 0.95,
    Rule.TAXONOMY: 0.85,
    Rule.NONE: 0.0,
}
"""How sure each rule is: declared, not fitted. Below 1 is room for what a spelling may hide."""

CERTAIN = frozenset({Rule.EXACT, Rule.NORMALISED, Rule.ALIAS, Rule.SEVERITY, Rule.PATTERN})
"""Rules that stand in the detector's own file: a written meaning is not overruled by a guess."""


@dataclass(frozen=True, slots=True)
class RuleAnswer:
    """What the rules say about one part of an output."""

    labels: Labels
    """Canonical labels; ``OTHER.Unknown`` alone when no rule applied."""
    rule: Rule
    """The weakest rule that contributed."""
    denied: bool = False
    """The part says that a known label does *not* apply (``not toxic``)."""

    @property
    def confidence(self) -> float:
        """0..1; 0 when no rule applied."""
        return CONFIDENCE[self.rule]

    @property
    def certain(self) -> bool:
        """True when every label stands in the detector's file, or the part denies one."""
        return self.rule in CERTAIN or self.denied


NOTHING = RuleAnswer((UNKNOWN,), Rule.NONE)
"""The answer of no rule."""


def apply(part: str, detector: Detector | None, taxonomy: Taxonomy) -> RuleAnswer:
    """Return what the rules say about one part of an output.

    ``detector`` is None for free text and for a detector that nobody declared: then only the
    taxonomy's own aliases apply.
    """
    if len(part) > MAX_INPUT_CHARS:
        return NOTHING
    whole = _one(part, detector, taxonomy)
    if whole.rule is not Rule.NONE or detector is None:
        return whole
    pieces = _pieces(part, detector)
    if len(pieces) < 2:
        return whole
    return merge([_one(piece, detector, taxonomy) for piece in pieces], taxonomy)


def merge(answers: list[RuleAnswer], taxonomy: Taxonomy) -> RuleAnswer:
    """Return several answers as one: labels in order, vague ones only when alone, weakest rule."""
    labels = specific(tuple(label for answer in answers for label in answer.labels), taxonomy)
    rules = [answer.rule for answer in answers]
    return RuleAnswer(labels, max(rules, key=list(Rule).index, default=Rule.NONE))


def specific(labels: Labels, taxonomy: Taxonomy) -> Labels:
    """Return the labels without repeats; unknown and vague ones go when better ones are there."""
    distinct = tuple(dict.fromkeys(labels))
    known = tuple(label for label in distinct if label != UNKNOWN)
    named = tuple(label for label in known if not taxonomy.labels[label].vague)
    return named or known or (UNKNOWN,)


def _pieces(part: str, detector: Detector) -> list[str]:
    if not detector.separators:
        return [part]
    pattern = "|".join(map(re.escape, detector.separators))
    return [piece.strip() for piece in re.split(pattern, part) if piece.strip()]


def _one(name: str, detector: Detector | None, taxonomy: Taxonomy) -> RuleAnswer:
    key = normalise(name)
    if detector is not None:
        answer = _declared(name, key, detector)
        if answer is not None:
            return answer
    if key in taxonomy.by_name:
        label = taxonomy.by_name[key]
        return NOTHING if label == UNKNOWN else RuleAnswer((label,), Rule.TAXONOMY)
    return RuleAnswer((UNKNOWN,), Rule.NONE, denied=_denies(key, detector, taxonomy))


def _declared(name: str, key: str, detector: Detector) -> RuleAnswer | None:
    answer = _known(name, key, detector)
    bare = detector.bare(name) if answer is None else None
    if bare is None:
        return answer
    inner = _known(bare, normalise(bare), detector)
    if inner is None:
        return None
    return RuleAnswer(inner.labels, max(inner.rule, Rule.ALIAS, key=list(Rule).index))


def _known(name: str, key: str, detector: Detector) -> RuleAnswer | None:
    if name in detector.exact:
        return RuleAnswer(detector.exact[name], Rule.EXACT)
    if key in detector.normalised:
        return RuleAnswer(detector.normalised[key], Rule.NORMALISED)
    if key in detector.aliases:
        return RuleAnswer(detector.aliases[key], Rule.ALIAS)
    graded = _graded(key, detector)
    if graded is not None:
        return RuleAnswer(graded, Rule.SEVERITY)
    for pattern in detector.patterns:
        if pattern.expression.fullmatch(name):
            return RuleAnswer(pattern.labels, Rule.PATTERN)
    return None


def _graded(key: str, detector: Detector) -> Labels | None:
    """Return the labels of ``hate 4`` or ``hate severity high`` when ``hate`` is declared."""
    severity = detector.severity
    stem, _, level = key.rpartition(" ")
    if severity is None or level not in severity.levels | severity.none:
        return None
    head, _, word = stem.rpartition(" ")
    if word in severity.words:
        stem = head
    labels = detector.normalised.get(stem) or detector.aliases.get(stem)
    if labels is None:
        return None
    return (severity.none_label,) if level in severity.none else labels


_DENIAL = re.compile(
    r"(?:(?:\S+ ){0,2}(?:is|was|are|were|has|have|had|contains|\S+'s) )?"
    r"(?:not|no|non|without|never|isn't|aren't|wasn't|free of) (?:an? |any |the )?(?P<rest>.+)"
)
_FOUND = re.compile(
    r"(?P<rest>.+?) (?:not|is not|was not|not present|absent|false)(?: (?:detected|found|present))?"
)
_TAIL = re.compile(r" (?:detected|found|present|content|language|violation|violations)$")


def _denies(key: str, detector: Detector | None, taxonomy: Taxonomy) -> bool:
    """Tell whether a known name is denied: ``not toxic``, ``no hate found``, ``this is not spam``."""
    match = _DENIAL.fullmatch(key) or _FOUND.fullmatch(key)
    if match is None:
        return False
    rest = match["rest"]
    return any(
        name in taxonomy.by_name
        or (detector is not None and (name in detector.normalised or name in detector.aliases))
        for name in (rest, _TAIL.sub("", rest))
    )
