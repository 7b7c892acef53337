"""Settings of the retriever: ``RETRIEVER_*``."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.retriever.plan import SHIPPED
from trimtab.worker.settings import WorkerSettings

_REFERENCE = r"[a-z0-9][a-z0-9_.-]*@[A-Za-z0-9.]+"
_REFERENCES = rf"^({_REFERENCE}(,{_REFERENCE})*)?$"


class RetrieverSettings(WorkerSettings):
    """What an operator may choose for a retriever."""

    model_config = SettingsConfigDict(env_prefix="RETRIEVER_")

    component: str = Field(
        default="hybrid@1", pattern=r"^[a-z0-9][a-z0-9_.-]*@[A-Za-z0-9.]+$", max_length=120
    )
    """Component to serve: how candidates are found and fused."""
    shipped: Path = SHIPPED
    """Folder of components that are taken when the object store has none of that name."""
    query_models: str = Field(default="", pattern=_REFERENCES, max_length=2000)
    """Query models to load beside ``last_vec`` and ``mean``: references with a comma between."""
    reply_bytes: int = Field(default=786_432, ge=16_384, le=67_108_864)
    """Most bytes of passages in one reply; the worst candidates are left out of a longer one."""

    @property
    def query_model_references(self) -> list[str]:
        """The query models to load, each once, in the order given: a bare name means the first of it."""
        return list(dict.fromkeys(filter(None, self.query_models.split(","))))
