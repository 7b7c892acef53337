"""A model as a worker serves it: an engine behind its guard, and by what name and content it is known."""

from dataclasses import dataclass, field

from services.mapper.answer import AnswerCheck
from services.mapper.definitions.taxonomy import Taxonomy
from services.mapper.engines.circuit import Circuit
from services.mapper.engines.guard import Guard
from services.mapper.engines.head import HeadEngine
from services.mapper.model.component import Component
from trimtab.telemetry.logs import Logger


@dataclass(frozen=True, slots=True)
class Served:
    """One component's model."""

    reference: str
    """``name@version``."""
    content_hash: str
    """sha256 of its manifest."""
    dimension: int
    """Numbers per vector that it wants."""
    guard: Guard
    """Asks its engine."""
    also: dict[str, str] = field(default_factory=dict)
    """What else decides with it, for the versions of an answer: name -> ``name@version+hash``."""

    @property
    def version(self) -> str:
        """``name@version+hash`` as answers carry it."""
        return f"{self.reference}+{self.content_hash[:12]}"


def head(
    component: Component, taxonomy: Taxonomy, log: Logger, circuit: Circuit | None = None
) -> Served:
    """Return a component of engine 1 as it is served."""
    check = AnswerCheck.of(taxonomy.labels)
    guard = Guard(HeadEngine(component.adapter), check, circuit or Circuit(), log)
    also = {"calibration": component.calibration} if component.calibration else {}
    return Served(
        component.reference, component.content_hash, component.card.dimension, guard, also
    )
