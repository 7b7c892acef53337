"""Engine 1, the default: labelled examples and descriptions retrieved, and a calibrated head over them.

Runs in this process, on the loop: a thread hop costs more than the work.
"""

from dataclasses import dataclass

from services.mapper.engines.engine import Question, Raw
from services.mapper.model.adapter import Adapter


@dataclass(frozen=True, slots=True)
class HeadEngine:
    """An :class:`Engine` over a loaded adapter."""

    adapter: Adapter
    """Its numbers."""
    kind: str = "head"
    """Which engine it is."""
    remote: bool = False
    """It never waits."""

    async def prepare(self) -> None:
        """Nothing to do: its numbers are loaded."""

    async def answer(self, question: Question, *, again: bool) -> list[Raw]:
        """Return the best label of each text with its calibrated confidence; the same when asked again."""
        found = self.adapter.answer(question.vectors, question.texts)
        return [
            {"taxonomy": [label], "scores": {label: confidence}, "confidence": confidence}
            for label, confidence in found
        ]

    async def close(self) -> None:
        """Nothing to do: its numbers go with the last reference."""
