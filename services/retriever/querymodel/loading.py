"""The query models that an operator or a release named, verified and loaded in a thread."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.retriever.querymodel.component import TrainedModel, load_model
from trimtab.artifacts.manifest import ArtifactError
from trimtab.artifacts.shipped import shipped
from trimtab.artifacts.store import provide
from trimtab.worker.service import Worker


@dataclass(frozen=True, slots=True)
class LoadedModels:
    """What became of the references."""

    models: list[TrainedModel]
    """In the order named."""
    refused: list[str]
    """Why the others are not loaded, one line each."""


async def load_models(worker: Worker, references: Sequence[str], components: Path) -> LoadedModels:
    """Load each of ``references`` from the store, or from the folder ``components``; a bad one is left out."""
    models, refused = [], []
    for reference in references:
        try:
            cache = worker.deployment.home / "components"
            folder, _ = await provide(worker.connection, reference, cache, shipped(components))
            model = await load_one(worker, reference, folder)
        except ArtifactError as error:
            refused.append(f"query model {reference} is not loaded: {error.detail}")
            worker.log.warning("component_refused", component=reference, error=type(error).__name__)
        else:
            models.append(model)
    return LoadedModels(models, refused)


async def load_one(worker: Worker, reference: str, folder: Path) -> TrainedModel:
    """Load a model from its folder and say so; raises what :func:`load_model` does."""
    model = await asyncio.to_thread(load_model, folder)
    worker.loaded(reference, model.content_hash)
    return model
