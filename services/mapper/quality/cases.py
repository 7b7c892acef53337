"""Golden cases: what a vendor's detector can emit, and what that means by the vendor's own words. Pure but for the reading.

One JSONL file per shipped detector. About a third of the cases is held out by a hash of the output: rules and
adapters are never made after those.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from services.mapper.definitions.document import DefinitionInvalid
from services.mapper.definitions.taxonomy import Taxonomy
from trimtab.contracts.mapping import MAX_OUTPUT_CHARS, DecidedBy

GOLDEN = Path(__file__).parents[1] / "golden"
"""The shipped cases."""

Part = Literal["tune", "held_out"]
PARTS: tuple[Part, ...] = ("tune", "held_out")

Kind = Literal[
    "label",
    "name",
    "severity",
    "verdict",
    "path",
    "masked",
    "multi",
    "negative",
    "unknown",
    "error",
    "new",
    "accident",
    "denied",
    "garbage",
]
"""What sort of output it is; docs/quality.md says what each means."""

_HELD_OUT_OF_TEN = 3


class GoldenCase(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One output, and what must come out."""

    id: Annotated[str, Meta(min_length=1, max_length=80)]
    """Unique; the only thing of a case that reports name."""
    detector: Annotated[str, Meta(min_length=1, max_length=64)]
    """Who said it."""
    output: Annotated[str, Meta(max_length=MAX_OUTPUT_CHARS)]
    """What it said."""
    expected: Annotated[list[str], Meta(min_length=1)]
    """The labels that must come out, all of them and no others, in any order."""
    decided_by: DecidedBy | None = None
    """Who must have decided; None where either may."""
    kind: Kind
    """What sort of output."""
    note: Annotated[str, Meta(min_length=1)]
    """In plain words, where it comes from."""
    part: Part
    """Whether rules may be made after it; must be what :func:`part_of` says."""


@dataclass(frozen=True, slots=True)
class Golden:
    """Every case of a folder."""

    cases: tuple[GoldenCase, ...]
    """By detector, in the order of the files."""
    hash: str
    """sha256 over the files, 64 hex digits."""

    def of(self, detector: str) -> list[GoldenCase]:
        """Return the cases of one detector."""
        return [case for case in self.cases if case.detector == detector]

    @property
    def detectors(self) -> list[str]:
        """Names of the detectors that have cases, in order."""
        return list(dict.fromkeys(case.detector for case in self.cases))


def part_of(detector: str, output: str) -> Part:
    """Return the part of an output, by its hash: about three of ten are held out."""
    digest = hashlib.sha256(f"{detector}\n{output}".encode()).hexdigest()
    return "held_out" if int(digest[:8], 16) % 10 < _HELD_OUT_OF_TEN else "tune"


def read_golden(folder: Path, taxonomy: Taxonomy, only: Sequence[str] = ()) -> Golden:
    """Read every ``<detector>.jsonl`` of a folder, or those of ``only``.

    Raises:
        DefinitionInvalid: there is none, a line is no case, it is in the wrong file or part, an id stands
            twice, or an expected label is not in the taxonomy; says file and line.
    """
    paths = [path for path in sorted(folder.glob("*.jsonl")) if not only or path.stem in only]
    missing = set(only) - {path.stem for path in paths}
    if missing or not paths:
        named = ", ".join(sorted(missing)) or "any detector"
        raise DefinitionInvalid(folder, named, "has no file of cases here; name one with --cases")
    digest, cases = hashlib.sha256(), []
    for path in paths:
        data = path.read_bytes()
        digest.update(hashlib.sha256(path.stem.encode() + b"\n" + data).digest())
        cases += [_case(path, number, line) for number, line in _lines(data)]
    _check(folder, cases, taxonomy)
    return Golden(tuple(cases), digest.hexdigest())


def _lines(data: bytes) -> list[tuple[int, bytes]]:
    return [(n, line) for n, line in enumerate(data.split(b"\n"), start=1) if line.strip()]


def _case(path: Path, number: int, line: bytes) -> GoldenCase:
    where = f"line {number}"
    try:
        case = msgspec.json.decode(line, type=GoldenCase)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DefinitionInvalid(path, where, str(error)) from None
    if case.detector != path.stem:
        raise DefinitionInvalid(path, where, f"is a case of {case.detector}")
    if case.part != part_of(case.detector, case.output):
        raise DefinitionInvalid(
            path, where, f"belongs to part {part_of(case.detector, case.output)}, by its hash"
        )
    return case


def _check(folder: Path, cases: Sequence[GoldenCase], taxonomy: Taxonomy) -> None:
    seen: set[str] = set()
    for case in cases:
        if case.id in seen:
            raise DefinitionInvalid(folder, case.id, "stands twice")
        seen.add(case.id)
        for label in case.expected:
            if label not in taxonomy.labels:
                raise DefinitionInvalid(
                    folder, case.id, f"{label} is no label of taxonomy {taxonomy.name}"
                )
