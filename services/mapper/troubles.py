"""Why a mapper is degraded: components without a model for good, and models that fail at present."""

from dataclasses import dataclass, field

from services.mapper.engines.served import Served
from services.mapper.mapper import Mapped
from trimtab.contracts.samples import Readiness
from trimtab.worker.service import Worker


@dataclass
class Troubles:
    """What the worker's readiness says, kept up to date by its requests."""

    worker: Worker
    """Whose readiness."""
    by_component: dict[str, str] = field(default_factory=dict)
    """Reference -> what is wrong; empty while all is well."""

    def found(self, reference: str, problem: str) -> None:
        """Note what loading a component said; an empty problem is none."""
        if problem:
            self.by_component[reference] = problem
            self._tell()

    def forget(self, reference: str) -> None:
        """Note that a component is served no longer."""
        if self.by_component.pop(reference, ""):
            self._tell()

    def seen(self, served: Served, mapped: Mapped) -> None:
        """Note how a model did in one request; called for each, so it does nothing when nothing changed."""
        ill = served.reference in self.by_component
        if served.guard.circuit.closed:
            if ill and mapped.valid:
                del self.by_component[served.reference]
                self._tell()
        elif not ill:
            self.by_component[served.reference] = (
                f"{served.reference} keeps failing and is left alone for a while; the rules answer"
            )
            self._tell()

    def _tell(self) -> None:
        if self.by_component:
            self.worker.feel(Readiness.DEGRADED, "; ".join(self.by_component.values()))
        else:
            self.worker.feel(Readiness.READY)
