"""A component's folder, wherever it comes from: the worker's cache, the deployment's store, or this installation."""

from pathlib import Path

from services.mapper.settings import MapperSettings
from trimtab.artifacts.manifest import Manifest
from trimtab.artifacts.shipped import shipped
from trimtab.artifacts.store import provide
from trimtab.worker.service import Worker


async def fetch(worker: Worker, settings: MapperSettings, reference: str) -> tuple[Path, Manifest]:
    """Return a verified folder and its manifest.

    Raises:
        ArtifactError: it is nowhere to be had, or what was found cannot be trusted.
        nats.errors.Error: the store does not answer.
    """
    cache = worker.deployment.home / "components"
    return await provide(worker.connection, reference, cache, shipped(settings.shipped))
