"""A bundle made ready to serve: fetched, verified, each taxonomy with the adapter that it names."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nats.errors

from services.mapper.bundles.bundle import KIND, Bundle, Part, load_bundle
from services.mapper.definitions.definitions import Definitions
from services.mapper.engines.opening import EngineUnusable
from services.mapper.engines.served import Served
from services.mapper.fetching import fetch
from services.mapper.mapper import Mapper
from services.mapper.mappers import Mappers
from services.mapper.models import Models
from services.mapper.settings import MapperSettings
from trimtab.artifacts.manifest import ArtifactError
from trimtab.worker.service import Worker

MakeMapper = Callable[[Definitions, Served | None], Mapper]


@dataclass(frozen=True)
class Bundles:
    """Opens components that are bundles."""

    worker: Worker
    """Whose connection, home and log are used."""
    settings: MapperSettings
    """Where shipped components and servers are."""
    make: MakeMapper
    """Makes the mapper of one taxonomy."""
    models: list[Models]
    """Gets what must be closed with the worker."""

    async def open(self, reference: str) -> Mappers | None:
        """Return the mappers of a bundle; None when the component is no bundle, or cannot be had.

        Raises:
            ArtifactError: it cannot be trusted, a definition in it is wrong, or one of its adapters
                is not there, is another one, or is of other labels. Nothing of it serves then.
        """
        folder = await self._fetch(reference)
        if folder is None:
            return None
        bundle = await asyncio.to_thread(load_bundle, folder)
        found = {
            part.definitions.taxonomy.name: self.make(
                part.definitions, await self._adapter(bundle, part)
            )
            for part in bundle.parts
        }
        return Mappers(bundle.content_hash, found)

    async def _fetch(self, reference: str) -> Path | None:
        try:
            folder, manifest = await fetch(self.worker, self.settings, reference)
        except (ArtifactError, nats.errors.Error):
            return None  # whoever opens it as an adapter says what is wrong
        return folder if manifest.kind == KIND else None

    async def _adapter(self, bundle: Bundle, part: Part) -> Served | None:
        choice = part.choice
        if not choice.adapter:
            return None
        models = Models(self.worker, self.settings, part.definitions.taxonomy)
        self.models.append(models)
        served, problem = await models.open(choice.adapter)
        if served is None or problem:
            raise EngineUnusable(bundle.reference, problem)
        if choice.hash and served.content_hash != choice.hash:
            problem = f"its adapter {choice.adapter} has other content here; build the bundle again"
            raise EngineUnusable(bundle.reference, problem)
        return served
