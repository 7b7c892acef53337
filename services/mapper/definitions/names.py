"""How two spellings of one name are recognised as the same: whole names only, never parts of them."""

import re
import unicodedata

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z][a-z])")
_SEPARATORS = re.compile(r"[\s_\-/.:]+")


def normalise(name: str) -> str:
    """Return the name in even spelling: case, ``- _ / . :``, spaces and CamelCase do not matter.

    ``SelfHarm``, ``self-harm`` and ``SELF_HARM`` become ``self harm``; a name of separators alone
    becomes empty. Words are kept apart, so ``therapist`` never meets ``the rapist``.
    """
    folded = unicodedata.normalize("NFKC", name)
    spaced = _SEPARATORS.sub(" ", _CAMEL.sub(" ", folded))
    return spaced.strip().casefold()
