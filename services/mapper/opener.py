"""Opens any component that a mapper may be asked for: an adapter, a language model, or a bundle of rules."""

from dataclasses import dataclass, field

from services.mapper.bundles.opening import Bundles
from services.mapper.definitions.definitions import Definitions
from services.mapper.engines.served import Served
from services.mapper.mapper import Mapper
from services.mapper.mappers import Mappers
from services.mapper.models import Models
from services.mapper.settings import MapperSettings
from trimtab.artifacts.manifest import ArtifactError
from trimtab.worker.service import Worker


@dataclass(frozen=True)
class Opener:
    """Makes mappers of components; one per worker."""

    worker: Worker
    """Whose connection, home and log are used."""
    settings: MapperSettings
    """Where components and servers are."""
    own: Definitions
    """The worker's own files, by which an adapter outside a bundle answers."""
    models: list[Models] = field(default_factory=list)
    """What :meth:`close` closes."""

    async def open(self, reference: str) -> tuple[Mappers | None, str]:
        """Return what answers under a reference, and what is wrong with it; without it the rules must."""
        try:
            bundle = await Bundles(self.worker, self.settings, self.mapper, self.models).open(
                reference
            )
        except ArtifactError as error:
            self.worker.log.warning("component_refused", component=reference, reason=error.detail)
            return None, error.detail
        if bundle is not None:
            return bundle, ""
        models = Models(self.worker, self.settings, self.own.taxonomy)
        self.models.append(models)
        served, problem = await models.open(reference)
        return None if served is None else Mappers.one(self.mapper(self.own, served)), problem

    def by_rules(self) -> Mappers:
        """Return what answers when a component cannot be had: the rules of the worker's own files."""
        return Mappers.one(self.mapper(self.own, None))

    def mapper(self, definitions: Definitions, served: Served | None) -> Mapper:
        """Return the mapper of one taxonomy."""
        return Mapper(
            definitions.taxonomy,
            definitions.detectors,
            None,
            self.settings.confidence_threshold,
            self.worker.log,
            served=served,
            frameworks=definitions.frameworks,
        )

    async def discard(self, mappers: Mappers | None) -> None:
        """Let go of the engines of what will not be served, if there is anything."""
        for mapper in mappers.by_taxonomy.values() if mappers is not None else ():
            if mapper.served is not None:
                for models in self.models:
                    await models.discard(mapper.served)
        self.models[:] = [models for models in self.models if models.opened]
        for models in self.models:  # two bundles may name one adapter: the other's circuit is left
            models.publish()

    async def close(self) -> None:
        """Let go of every engine."""
        for models in self.models:
            await models.close()
