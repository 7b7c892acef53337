"""How much the golden cases cover: cases per declared detector, and the categories of the taxonomy. Pure."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from services.mapper.definitions.taxonomy import Taxonomy
from services.mapper.quality.cases import Golden

_NO_FINDING = "OTHER"


@dataclass(frozen=True, slots=True)
class Coverage:
    """Of one set of cases."""

    cases: dict[str, int]
    """Declared detector -> cases; 0 where there is no file."""
    covered: tuple[str, ...]
    """Categories that some case expects a label of, sorted."""
    missing: tuple[str, ...]
    """The other categories, sorted."""
    labels: tuple[str, ...]
    """Labels that no case expects, sorted."""

    @property
    def fewest(self) -> int:
        """Cases of the detector that has fewest; 0 without a detector."""
        return min(self.cases.values(), default=0)

    @property
    def share(self) -> float:
        """Of the categories, 0..1."""
        return len(self.covered) / max(1, len(self.covered) + len(self.missing))


def category(label: str) -> str:
    """Return what a label belongs to: ``HARM.SPEECH`` of ``HARM.SPEECH.Hate``, ``ADVICE`` of ``ADVICE.Legal``."""
    return label.rpartition(".")[0] or label


def coverage(golden: Golden, detectors: Collection[str], taxonomy: Taxonomy) -> Coverage:
    """Return what the cases cover of the declared detectors and of the taxonomy, ``OTHER`` left out."""
    counts = Counter(case.detector for case in golden.cases)
    expected = {label for case in golden.cases for label in case.expected}
    named = [label for label in taxonomy.labels if label.split(".")[0] != _NO_FINDING]
    covered = {category(label) for label in expected}
    every = {category(label) for label in named}
    return Coverage(
        cases={detector: counts[detector] for detector in sorted(detectors)},
        covered=tuple(sorted(every & covered)),
        missing=tuple(sorted(every - covered)),
        labels=tuple(sorted(set(named) - expected)),
    )
