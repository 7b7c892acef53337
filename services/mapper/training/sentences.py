"""A description's sentences: each says one thing about its label, as short as the texts that are mapped. Pure."""

import re

_END = re.compile(r"(?<=[.!?;])\s+(?=[A-Z0-9`(\"'])")
_SHORTEST = 25
"""Characters; ``See also.`` says nothing about a label."""


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, in order; none when the whole text is but one."""
    parts = [part.strip() for part in _END.split(text)]
    return [part for part in parts if len(part) >= _SHORTEST] if len(parts) > 1 else []
