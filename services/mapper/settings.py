"""Settings of the mapper: ``MAPPER_*``."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, StringConstraints
from pydantic_settings import SettingsConfigDict

from services.mapper.model.component import SHIPPED
from trimtab.worker.settings import WorkerSettings

_HERE = Path(__file__).parent

Reference = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]*@[A-Za-z0-9.]+$")]

Address = Annotated[str, StringConstraints(pattern=r"^https?://[^\s@]+$")]
"""Of a server, without credentials."""


class MapperSettings(WorkerSettings):
    """What an operator may choose for a mapper."""

    model_config = SettingsConfigDict(env_prefix="MAPPER_")

    components: list[Reference] = Field(default=["safety-head@1"], min_length=1, max_length=32)
    """Components to serve side by side, as a JSON list of ``name@version``."""
    shipped: Path = SHIPPED
    """Folder of components that are taken when the object store has none of that name."""
    taxonomy: Path = _HERE / "taxonomies" / "ai-safety.yaml"
    """Taxonomy file to answer in."""
    detectors: Path = _HERE / "detectors"
    """Folder of detector files."""
    frameworks: Path | None = None
    """File of the controls that labels bear on; none given: the one shipped for this taxonomy, if any."""
    confidence_threshold: float = Field(default=0.6, ge=0.3, le=0.9)
    """Confidence below which the rules decide, unless the request names one."""
    endpoints: dict[str, Address] = {}
    """Servers of language models by name, as a JSON object: `{"vllm": "http://vllm:8000"}`."""
    api_key_files: dict[str, Path] = {}
    """Files with the API keys of such servers, by the same names."""
    api_keys: dict[str, SecretStr] = {}
    """The keys themselves, where there is no file to put them in."""
    adapter_root: Path | None = None
    """Folder in which the vLLM server sees this worker's `components` folder; empty: the same path as here."""
    unload_adapters: bool = False
    """Unload its LoRA adapters when this worker stops: only where the vLLM server serves nobody else."""
    on_timeout: Literal["rules", "fail"] = "rules"
    """What a late model leaves: the rules' answer or an error; `mapper.on_timeout` overrides it live."""
    circuit_failures: int = Field(default=5, ge=1, le=1000)
    """Failures in a row after which a model is left alone."""
    circuit_rest_s: float = Field(default=10.0, gt=0, le=3600)
    """Seconds before one request tries such a model again."""

    def api_key(self, server: str) -> str:
        """Return a server's key, its file read anew; empty for one without.

        Raises:
            OSError: the file cannot be read.
        """
        if server in self.api_key_files:
            return self.api_key_files[server].read_text(encoding="utf-8").strip()
        return self.api_keys[server].get_secret_value() if server in self.api_keys else ""
