"""A record of samples: one JSON object per line, as they were heard, to be judged again later."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from trimtab.contracts.errors import InvalidMessage
from trimtab.contracts.samples import Sample


def line_of(sample: Sample) -> bytes:
    """Return one line of a record; sketches are in base64."""
    return msgspec.json.encode(sample) + b"\n"


def read_record(path: Path) -> Iterator[Sample]:
    """Yield the samples of a record in its order.

    A last line without its end was being written when the recorder died, and is left out.

    Raises:
        InvalidMessage: a line is no sample; names it by number.
        OSError: the file cannot be read.
    """
    decoder = msgspec.json.Decoder(Sample)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise InvalidMessage("Sample", f"line {number} of {path.name}: {error}") from None
