"""Settings of the retriever: ``RETRIEVER_*``."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
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
    device: Literal["cpu", "gpu", "auto"] = "auto"
    """Where searches of IVF lists run; ``gpu`` without a usable one runs on the CPU, and the worker says it is degraded."""
    reply_bytes: int = Field(default=786_432, ge=16_384, le=67_108_864)
    """Most bytes of passages in one reply; the worst candidates are left out of a longer one."""

    backends: dict[str, Literal["memory", "milvus"]] = {}
    """Where vectors live, by collection name or glob as JSON, ``{"logs-*": "milvus"}``; the first match decides."""
    milvus_uri: str = Field(default="", max_length=2000)
    """``http(s)://host:port`` of Milvus, or for the embedded one a path that ends in ``.db``; no credentials in it."""
    milvus_token: SecretStr = SecretStr("")
    """``user:password`` or API key of Milvus; never logged."""
    milvus_index: Literal["flat", "ivf_flat", "ivf_sq8", "hnsw"] = "ivf_flat"
    """Index of collections that are made from now on; ``ivf_sq8`` takes a quarter of the memory, and like ``hnsw``
    cannot answer exactly, so that it cannot be verified."""
    milvus_nlist: int = Field(default=1024, ge=1, le=65_536)
    """IVF lists of each of Milvus's segments; about four times the square root of a segment's passages."""
    milvus_shards: int = Field(default=1, ge=1, le=16)
    """Write channels of collections that are made from now on; Milvus spreads them over its nodes."""
    milvus_replicas: int = Field(default=1, ge=1, le=16)
    """Copies that Milvus keeps in memory for searches; it needs as many query nodes."""
    milvus_timeout_ms: int = Field(default=500, ge=10, le=60_000)
    """Longest time a search waits for Milvus; words alone answer after that, marked as degraded."""

    @model_validator(mode="after")
    def _milvus_is_somewhere(self) -> Self:
        if "milvus" in self.backends.values() and not self.milvus_uri:
            raise ValueError("RETRIEVER_BACKENDS names Milvus; set RETRIEVER_MILVUS_URI too")
        return self

    @property
    def query_model_references(self) -> list[str]:
        """The query models to load, each once, in the order given: a bare name means the first of it."""
        return list(dict.fromkeys(filter(None, self.query_models.split(","))))
