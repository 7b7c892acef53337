"""A record of what a controller judges by: one JSON object per line, as it was heard, to be judged again later."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from trimtab.contracts.errors import InvalidMessage
from trimtab.contracts.evaluation import Evaluation
from trimtab.contracts.samples import Sample

Heard = Sample | Evaluation

_EVALUATION = b'{"evaluation":'


class _EvaluationLine(msgspec.Struct, frozen=True):
    evaluation: Evaluation


def line_of(heard: Heard) -> bytes:
    """Return one line of a record; sketches are in base64."""
    line = heard if isinstance(heard, Sample) else _EvaluationLine(heard)
    return msgspec.json.encode(line) + b"\n"


def read_record(path: Path) -> Iterator[Heard]:
    """Yield the samples and evaluations of a record in its order.

    A last line without its end was being written when the recorder died, and is left out.

    Raises:
        InvalidMessage: a line is neither; names it by number.
        OSError: the file cannot be read.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield _heard(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise InvalidMessage("Sample", f"line {number} of {path.name}: {error}") from None


def read_samples(path: Path) -> Iterator[Sample]:
    """Yield the samples of a record alone; raises what :func:`read_record` does."""
    return (heard for heard in read_record(path) if isinstance(heard, Sample))


def _heard(line: bytes) -> Heard:
    if line.startswith(_EVALUATION):
        return msgspec.json.decode(line, type=_EvaluationLine).evaluation
    return msgspec.json.decode(line, type=Sample)
