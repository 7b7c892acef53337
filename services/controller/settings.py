"""Settings of the controller: ``CONTROLLER_*``."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.controller.triggers import Profile
from trimtab.control.quality import Environment
from trimtab.worker.settings import WorkerSettings

_SHIPPED = Path(__file__).parent / "releases" / "base.json"


class ControllerSettings(WorkerSettings):
    """What an operator may choose for a controller."""

    model_config = SettingsConfigDict(env_prefix="CONTROLLER_")

    first_release: Path = _SHIPPED
    """Release manifest written as the first control state; ignored once there is one."""
    policies: Path = Path(__file__).parents[2] / "deploy" / "policies"
    """Folder of ramp policies, ``rollback_triggers.yaml`` and ``alerts.yaml``."""
    quality: Path | None = None
    """Thresholds that a changed mapper must keep on its golden cases; none given: `quality.yaml` of the policies."""
    environment: Environment = Environment.PROD
    """Which row of these thresholds holds here: ``dev``, ``staging`` or ``prod``."""
    profile: Profile = "cpu"
    """What models run on: ``cpu`` or ``gpu``; alerts on latency differ."""
    window_s: int = Field(default=60, ge=5, le=3600)
    """Seconds of samples that the status, triggers and alerts are computed over."""
    forget_after_s: int = Field(default=60, ge=5, le=86_400)
    """Seconds after which a silent worker leaves the status."""
