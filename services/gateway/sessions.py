"""What the callers of a session asked before: the last three query vectors, for a bounded time and number.

Sessions are known by a hash alone. Whatever is not known, because it is old, crowded out or was asked of
a gateway that is gone, is simply no session.
"""

import hashlib
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trimtab.contracts.tensor import Matrix

REMEMBERED = 3
"""Queries of one session: the feature was measured with three."""

Vector = NDArray[np.float32]


def key_of(*parts: str) -> str:
    """Return 32 hex digits that stand for the parts together and show none of them."""
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()[:32]


@dataclass
class _Session:
    at: float
    vectors: deque[Vector] = field(default_factory=lambda: deque(maxlen=REMEMBERED))


class Sessions:
    """The sessions of all callers, the longest unused forgotten first."""

    def __init__(
        self, capacity: int, ttl_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``capacity`` 0 remembers nothing; ``ttl_s`` counts from a session's last query."""
        self._capacity = capacity
        self._ttl_s = ttl_s
        self._clock = clock
        self._sessions: OrderedDict[str, _Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def note(self, key: str, vector: Matrix) -> None:
        """Remember a query; the same one again, or one that is no unit row, is not remembered.

        ``vector`` is (1, dimension) f32.
        """
        row = vector.array()
        if vector.rows != 1 or vector.dtype != "f32" or not np.isfinite(row).all():
            return
        now = self._clock()
        self._forget(now)
        session = self._sessions.setdefault(key, _Session(now))
        session.at = now
        self._sessions.move_to_end(key)
        if not (session.vectors and np.array_equal(session.vectors[-1], row[0])):
            session.vectors.append(row[0].copy())
        while len(self._sessions) > self._capacity:
            self._sessions.popitem(last=False)

    def recall(self, key: str, dimension: int) -> Matrix | None:
        """Return the mean of a session's last queries at unit length; None when there is nothing to say."""
        session = self._sessions.get(key)
        if session is None or self._clock() - session.at > self._ttl_s:
            return None
        vectors = [vector for vector in session.vectors if len(vector) == dimension]
        if not vectors:
            return None
        mean: NDArray[np.float64] = np.stack(vectors).astype(np.float64).mean(axis=0)
        length = np.linalg.norm(mean)
        if length < 1e-6:  # queries that cancel each other out point nowhere
            return None
        return Matrix.of((mean / length).astype(np.float32).reshape(1, -1))

    def _forget(self, now: float) -> None:
        while self._sessions:
            oldest = next(iter(self._sessions.values()))
            if now - oldest.at <= self._ttl_s:
                return
            self._sessions.popitem(last=False)
