"""Settings of the mapper: ``MAPPER_*``."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints
from pydantic_settings import SettingsConfigDict

from services.mapper.model.component import SHIPPED
from trimtab.worker.settings import WorkerSettings

_HERE = Path(__file__).parent

Reference = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]*@[A-Za-z0-9.]+$")]


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
