"""Exit codes of every command; `trimtab --help` and the documentation state them."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a script may rely on."""

    OK = 0
    """Everything was done."""
    FAILED = 1
    """Done in part, or refused; the output says what."""
    USAGE = 2
    """The command line is wrong; nothing was done."""
    UNREACHABLE = 3
    """No deployment answers; nothing was done."""
    INCONCLUSIVE = 4
    """Judged, and neither good nor bad could be said: too little data, or data that cannot be believed."""
