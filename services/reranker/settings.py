"""Settings of the reranker: ``RERANKER_*``."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints
from pydantic_settings import SettingsConfigDict

from services.reranker.component import SHIPPED
from trimtab.worker.settings import WorkerSettings

Reference = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]*@[A-Za-z0-9.]+$")]


class RerankerSettings(WorkerSettings):
    """What an operator may choose for a reranker."""

    model_config = SettingsConfigDict(env_prefix="RERANKER_")

    components: list[Reference] = Field(default=["mlp-full@2"], min_length=1, max_length=32)
    """Components to serve side by side, as a JSON list of ``name@version``."""
    shipped: Path = SHIPPED
    """Folder of components that are taken when the object store has none of that name."""
