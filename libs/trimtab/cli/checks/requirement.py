"""What an installed distribution asks for, read from its metadata. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_REQUIREMENT = re.compile(
    r"""^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*\(?(?P<versions>[^;)]*)\)?\s*
        (?:;.*?extra\s*==\s*['"](?P<extra>[^'"]+)['"])?.*$""",
    re.VERBOSE,
)
_BOUND = re.compile(r"(>=|<)\s*([0-9][0-9.]*)")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One distribution that is needed, and the versions that will do."""

    name: str
    extra: str
    """Extra that asks for it; empty for the core."""
    at_least: tuple[int, ...]
    """Lowest version; empty when any will do."""
    below: tuple[int, ...]
    """First version that will not do; empty when there is none."""

    def accepts(self, version: str) -> bool:
        """Return whether an installed version will do; pre-release tags are not looked at."""
        found = numbers(version)
        return found >= self.at_least and (not self.below or found < self.below)

    def __str__(self) -> str:
        lowest = ".".join(map(str, self.at_least))
        return f"{self.name}>={lowest}" if lowest else self.name


def numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: ``2.15.1rc1`` -> (2, 15, 1)."""
    return tuple(int(found) for found in re.findall(r"\d+", version.split("+")[0])[:3])


def parse(lines: Iterable[str]) -> list[Requirement]:
    """Read the ``Requires-Dist`` lines of a distribution; references to itself are left out."""
    found = [_parse_line(line) for line in lines]
    return [requirement for requirement in found if requirement.name.lower() != "trimtab"]


def _parse_line(line: str) -> Requirement:
    match = _REQUIREMENT.match(line.strip())
    if match is None:
        raise ValueError(f"not a requirement: {line!r}")
    bounds = dict(_BOUND.findall(match["versions"]))
    return Requirement(
        name=match["name"],
        extra=match["extra"] or "",
        at_least=numbers(bounds.get(">=", "")),
        below=numbers(bounds.get("<", "")),
    )
