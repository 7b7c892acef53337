"""What one try of a job means: an answer, an end, another try, or a wait that is nobody's fault. Pure."""

from dataclasses import dataclass
from enum import Enum, auto

from trimtab.contracts.errors import ErrorCode, TrimtabError

_PERMANENT = frozenset(
    {
        ErrorCode.INVALID,
        ErrorCode.TOO_LARGE,
        ErrorCode.NOT_FOUND,
        ErrorCode.UNAUTHENTICATED,
        ErrorCode.FORBIDDEN,
        ErrorCode.CONFLICT,
    }
)
"""Codes that speak of the request itself: the next try would end alike."""

_LONGEST_S = 60.0


class Next(Enum):
    """What happens to a job after an error."""

    END = auto()
    """Its result is the error."""
    WAIT = auto()
    """An operator closed the pipeline: it is tried again, and this was no try."""
    RETRY = auto()
    """It is tried again after a while."""
    GIVE_UP = auto()
    """It was tried often enough and becomes a dead letter."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long gateways go on trying."""

    tries: int
    """Most tries of one job."""
    retry_s: float
    """Seconds before the second try; each further wait is twice as long, at most a minute."""

    def after(self, error: TrimtabError, attempt: int) -> Next:
        """Return what follows the error of the ``attempt``-th try, counted from 1."""
        if error.code is ErrorCode.DISABLED:
            return Next.WAIT
        if error.code in _PERMANENT and not error.retryable:
            return Next.END
        return Next.RETRY if attempt < self.tries else Next.GIVE_UP

    def delay_s(self, attempt: int) -> float:
        """Return the seconds to wait after the ``attempt``-th try, counted from 1."""
        return min(_LONGEST_S, self.retry_s * 2.0 ** min(attempt - 1, 16))
