"""Spans of time as people write them: 90s, 30m, 4h, 2d. Pure."""

import re

from trimtab.cli.failure import Failure

_SPAN = re.compile(r"^(\d+(?:\.\d+)?)\s*(s|m|h|d)\Z")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def seconds_of(text: str) -> float:
    """Return a span in seconds.

    Raises:
        Failure: it is no span of time.
    """
    match = _SPAN.match(text.strip())
    if match is None:
        raise Failure(f"{text!r} is no span of time", "write 90s, 30m, 4h or 2d")
    return float(match[1]) * _SECONDS[match[2]]
