"""Settings of a process: environment variables with a prefix, frozen, unknown ones refused."""

import os
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from trimtab.bus.connection import DEFAULT_URL
from trimtab.control.heartbeats import LEASE_S


class InvalidSettings(Exception):
    """An environment variable is unknown or out of its range; the message names it and what to do."""


class PrefixedSettings(BaseSettings):
    """Base of every settings class: frozen, and closed to unknown variables with its prefix."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", validate_default=True, env_ignore_empty=True
    )

    @classmethod
    def load(cls) -> Self:
        """Read the environment.

        Raises:
            InvalidSettings: a variable with our prefix is unknown, or a value is not allowed.
        """
        prefix = cls.model_config.get("env_prefix", "").upper()
        known = {f"{prefix}{name}".upper() for name in cls.model_fields}
        unknown = sorted(
            name for name in os.environ if name.startswith(prefix) and name not in known
        )
        if unknown:
            raise InvalidSettings(
                f"unknown variable {', '.join(unknown)}; known: {', '.join(sorted(known))}"
            )
        try:
            return cls()
        except ValidationError as error:
            problems = "; ".join(
                f"{prefix}{'_'.join(map(str, part['loc'])).upper()}: {part['msg']}"
                for part in error.errors()
            )
            raise InvalidSettings(problems) from None


class DeploymentSettings(PrefixedSettings):
    """What all processes of one deployment share: ``TRIMTAB_*``."""

    model_config = SettingsConfigDict(env_prefix="TRIMTAB_")

    nats_url: str = DEFAULT_URL
    """Where the bus is; never with credentials in it."""
    nats_nkey_seed: Path | None = None
    """File with the nkey seed of this process, when the server asks for one."""
    home: Path = Path("var")
    """Where state lives: components, collections, logs."""
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")
    """Least severe level that is written."""
    otlp_service: str = ""
    """Overrides ``service.name`` in traces; empty takes the service's own name."""
    canary_lease_s: float = Field(default=LEASE_S, ge=3, le=300)
    """Seconds without a heartbeat after which every worker drops the canary to 0 by itself."""
    parent_pid: int = Field(default=0, ge=0)
    """Supervisor to watch: when that process is gone this one stops. 0 watches nobody."""


class WorkerSettings(PrefixedSettings):
    """What every worker has; each service subclasses it with its own prefix."""

    instance: str = Field(default="", pattern=r"^[A-Za-z0-9_-]{0,48}$")
    """Unique name of this process and of its state folder; empty takes ``<service>-0``'s first free."""
    max_in_flight: int = Field(default=64, ge=1, le=100_000)
    """Requests held at once; one more is answered 429 immediately."""
    http_host: str = "127.0.0.1"
    """Where ``/health``, ``/ready`` and ``/metrics`` listen."""
    http_port: int = Field(default=0, ge=0, le=65535)
    """Port of the same; 0 takes a free one, which the samples name."""
    drain_timeout_s: float = Field(default=20.0, gt=0, le=600)
    """Longest time a stop waits for requests in flight."""
