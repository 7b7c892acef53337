"""Settings of the encoder: ``ENCODER_*``."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from services.encoder.shipped import BY_VLLM, DEFAULT, SHIPPED
from services.encoder.sparse.pruning import Pruning
from services.encoder.spec import MINILM
from trimtab.contracts.sparse import MAX_ENTRIES
from trimtab.worker.settings import WorkerSettings


class EncoderSettings(WorkerSettings):
    """Which component this process serves, from what, and how much it remembers."""

    model_config = SettingsConfigDict(env_prefix="ENCODER_")

    component: str = Field(default="", pattern=r"^([a-z0-9][a-z0-9_.-]*@[A-Za-z0-9.]+)?$")
    """Component to serve; empty takes ``minilm-int8@1``, or ``minilm-vllm@1`` with a vLLM server."""
    threads: int = Field(default=1, ge=1, le=64)
    """Threads of the model; more processes scale better than more threads."""
    cache_entries: int = Field(default=20_000, ge=0, le=10_000_000)
    """Most texts whose vectors are kept; 0 switches the cache off."""
    cache_mb: int = Field(default=64, ge=1, le=65_536)
    """Most memory the kept vectors may take, MiB."""
    sparse: str = Field(default="", pattern=r"^([a-z0-9][a-z0-9_-]*@[A-Za-z0-9.]+)?$")
    """Component that makes learned sparse vectors beside the others; empty: none does."""
    sparse_passage_terms: int = Field(default=128, ge=1, le=MAX_ENTRIES)
    """Most terms of a passage's sparse vector."""
    sparse_query_terms: int = Field(default=32, ge=1, le=MAX_ENTRIES)
    """Most terms of a query's sparse vector; a search takes time in proportion."""
    sparse_weight_cap: float = Field(default=5.0, ge=0.1, le=100)
    """Greatest weight of a term of a sparse vector."""
    vllm_url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    """Address of a vLLM server; empty runs the component's own model."""
    vllm_model: str = ""
    """Model name at the vLLM server; empty takes its only one."""
    vllm_api_key_file: Path | None = None
    """File with the server's API key, when it wants one."""
    vllm_tokenizer: Path | None = None
    """The model's ``tokenizer.json``; without it every text is tokenised by a call to the server."""
    vllm_namespace: str = Field(default=MINILM, min_length=1, max_length=120)
    """Vector space of the vLLM server's model; its dimension is proved at start."""
    vllm_max_tokens: int = Field(default=256, ge=3, le=131_072)
    """Token budget of one text with the vLLM server's model."""
    vllm_timeout_s: float = Field(default=30.0, gt=0, le=600)
    """Longest wait for one answer of the vLLM server."""

    @property
    def reference(self) -> str:
        """The component served, ``name@version``."""
        return self.component or (BY_VLLM if self.vllm_url else DEFAULT)

    @property
    def pruning(self) -> Pruning:
        """How much of a sparse vector is kept."""
        return Pruning(self.sparse_passage_terms, self.sparse_query_terms, self.sparse_weight_cap)

    @model_validator(mode="after")
    def _names_what_it_serves(self) -> Self:
        if self.vllm_url and self.component in SHIPPED:
            raise ValueError(
                f"{self.component} is a component of ours, a vLLM server is not; "
                f"leave ENCODER_COMPONENT empty or name another, for example {BY_VLLM}"
            )
        return self
