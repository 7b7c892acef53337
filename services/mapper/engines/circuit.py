"""A circuit breaker: a model that keeps failing is left alone for a while, then tried by one request. Pure."""

from dataclasses import dataclass


@dataclass
class Circuit:
    """Closed while the model answers, open after failures in a row, half open for one probe at a time."""

    failures: int = 5
    """Failures in a row that open it, >= 1."""
    rest_s: float = 10.0
    """Seconds that it stays open before a probe."""
    _failed: int = 0
    _opened_at: float | None = None
    _probing: bool = False

    @property
    def closed(self) -> bool:
        """Whether every request may ask the model."""
        return self._opened_at is None

    def admit(self, now: float) -> bool:
        """Tell whether this request may ask; ``now`` is seconds of a clock that never goes back.

        Who was admitted says :meth:`succeeded`, :meth:`failed` or :meth:`dropped` afterwards.
        """
        if self._opened_at is None:
            return True
        if self._probing or now < self._opened_at + self.rest_s:
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        """Count an answer: the circuit closes."""
        self._failed, self._opened_at, self._probing = 0, None, False

    def failed(self, now: float) -> None:
        """Count a failure; a failed probe opens the circuit for another while."""
        self._failed += 1
        if self._probing or (self._opened_at is None and self._failed >= self.failures):
            self._opened_at = now
        self._probing = False

    def dropped(self) -> None:
        """Count nothing: the request went away before it knew, so another one may probe."""
        self._probing = False
