"""A language model's component made ready to be served: its card, its server, its candidates, its guard."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from services.mapper.answer import AnswerCheck
from services.mapper.definitions.taxonomy import Taxonomy
from services.mapper.engines.candidates import Retrieval
from services.mapper.engines.card import LORA, EngineFiles
from services.mapper.engines.circuit import Circuit
from services.mapper.engines.guard import Guard
from services.mapper.engines.served import Served
from services.mapper.model.component import Component
from services.mapper.settings import MapperSettings
from trimtab.artifacts.manifest import ArtifactError
from trimtab.telemetry.logs import Logger

if TYPE_CHECKING:
    from trimtab.llm.adapters import Lora
    from trimtab.llm.wire import Wire


class EngineUnusable(ArtifactError):
    """A language model's component cannot be served here; says why and what to do."""

    def __init__(self, reference: str, problem: str) -> None:
        super().__init__(f"{reference}: {problem}")
        self.reference, self.problem = reference, problem


OpenWire = Callable[[str, str, str], "Wire"]
"""``open(server, url, api_key)``."""


@dataclass(frozen=True, slots=True)
class Opening:
    """Makes engines of components."""

    settings: MapperSettings
    """Where servers are."""
    taxonomy: Taxonomy
    """Labels that may come out."""
    log: Logger
    """For engines that fail."""

    def circuit(self) -> Circuit:
        """Return a circuit breaker as the settings want it."""
        return Circuit(self.settings.circuit_failures, self.settings.circuit_rest_s)

    def served(self, files: EngineFiles, candidates: Component) -> Served:
        """Return a language model as it is served; nothing is sent yet.

        Raises:
            EngineUnusable: its server is not in the settings, its key cannot be read, or httpx is missing.
        """
        reference, card = files.manifest.reference, files.card
        wire = self._wire(reference, card.server)
        # Imported here: it needs httpx, which only language models do.
        from services.mapper.engines.chat import ChatEngine

        engine = ChatEngine(
            wire=wire,
            card=card,
            retrieval=Retrieval(candidates.adapter, self.taxonomy, card.count),
            calibration=files.calibration,
            lora=self._lora(files),
            unloads=self.settings.unload_adapters,
        )
        check = AnswerCheck.of(self.taxonomy.labels)
        budget_s = card.timeout_ms / 1000
        return Served(
            reference=reference,
            content_hash=files.manifest.hash,
            dimension=candidates.card.dimension,
            guard=Guard(engine, check, self.circuit(), self.log, budget_s),
            also={"candidates": f"{candidates.reference}+{candidates.content_hash[:12]}"},
        )

    def _wire(self, reference: str, server: str) -> "Wire":
        url = self.settings.endpoints.get(server)
        if url is None:
            raise EngineUnusable(
                reference, f"no server called {server}; name its address in MAPPER_ENDPOINTS"
            )
        try:
            from trimtab.llm.wire import Wire

            return Wire.open(server, url, self.settings.api_key(server))
        except ModuleNotFoundError as error:
            raise EngineUnusable(reference, str(error)) from None
        except OSError as error:
            problem = f"the API key file of {server} cannot be read ({type(error).__name__})"
            raise EngineUnusable(reference, f"{problem}; see MAPPER_API_KEY_FILES") from None

    def _lora(self, files: EngineFiles) -> "Lora | None":
        if not files.lora:
            return None
        from trimtab.llm.adapters import Lora

        root = self.settings.adapter_root
        folder = files.folder.resolve() if root is None else root / files.folder.name
        return Lora(files.lora, str(Path(folder) / LORA))
