"""What a mapper must keep on golden cases, per environment: one file, read by the gate, the commands and the controller."""

from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from trimtab.contracts.errors import InvalidCommand
from trimtab.control.gates import Limit

QUALITY_FILE = "quality.yaml"
"""Its name in the folder of policies."""

Profile = Literal["cpu", "gpu"]
"""What models run on."""

Percent = Annotated[float, Meta(ge=0, le=100)]


class Environment(StrEnum):
    """Where a deployment stands; each has its own row of thresholds."""

    DEV = "dev"
    STAGING = "staging"
    PROD = "prod"


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of everything in the file."""


class SlowestMs(_Row, frozen=True, kw_only=True):
    """Greatest 95th percentile of a detector's answers, milliseconds."""

    cpu: Annotated[float, Meta(gt=0)]
    gpu: Annotated[float, Meta(gt=0)]


class Thresholds(_Row, frozen=True, kw_only=True):
    """One environment's row."""

    schema_valid_percent: Percent
    """Least share of valid answers of any detector."""
    f1_percent: Percent
    """Least mean F1 of any detector, over all its cases and over the held-out ones alone."""
    p95_ms: SlowestMs
    """By what models run on."""
    fallback_percent: Percent
    """Greatest share of a detector's cases that the rules answered in the model's turn."""
    min_golden_cases: Annotated[int, Meta(ge=1)]
    """Fewest cases of any detector."""
    taxonomy_coverage_percent: Percent
    """Least share of the taxonomy's categories that some case expects."""

    def limits(self, profile: Profile) -> tuple[Limit, ...]:
        """Return the limits of a quality report's figures; shares there are 0..1."""
        return (
            Limit("schema_valid", least=self.schema_valid_percent / 100),
            Limit("f1", least=self.f1_percent / 100),
            Limit("f1_held_out", least=self.f1_percent / 100),
            Limit("p95_ms", most=self.p95_ms.cpu if profile == "cpu" else self.p95_ms.gpu),
            Limit("fallback", most=self.fallback_percent / 100),
            Limit("golden_cases", least=self.min_golden_cases),
            Limit("taxonomy_coverage", least=self.taxonomy_coverage_percent / 100),
        )


class _File(_Row, frozen=True, kw_only=True):
    """The whole file."""

    environments: dict[Environment, Thresholds]


def parse_thresholds(document: bytes, name: str) -> dict[Environment, Thresholds]:
    """Return the row of every environment.

    Raises:
        InvalidCommand: it is no such file, holds an unknown key or a number out of its range, or an
            environment is missing; names file and key.
    """
    try:
        found = msgspec.yaml.decode(document, type=_File).environments
    except msgspec.DecodeError as error:
        raise InvalidCommand(f"{name}: {error}") from None
    missing = [environment for environment in Environment if environment not in found]
    if missing:
        raise InvalidCommand(f"{name}: no thresholds of {', '.join(missing)}; write a row of each")
    return found
