"""What every mapping engine does: the parts of an output to raw answers, which nobody believes yet.

What is believed, how long is waited, what is asked again and when nobody is asked at all is decided
in :mod:`services.mapper.engines.guard`, alike for all engines.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from services.mapper.model.network import Array
from trimtab.contracts.errors import DependencyError

Raw = Mapping[str, Any]
"""What ought to fit ``answer.schema.json``; the guard looks whether it does."""


class QuestionRefused(DependencyError):
    """The model is well but does not take this question: too long for it, for example."""


NOTHING_USABLE: Raw = {}
"""The raw answer of a model that said nothing that could be read: it fits no schema."""


@dataclass(frozen=True, slots=True)
class Question:
    """What an engine is asked at once."""

    texts: tuple[str, ...]
    """Spelled out as ``contracts.mapping.text_of`` says."""
    vectors: Array
    """(texts, dimension) float32, unit rows: the encoder's vector of each text."""

    def only(self, places: Sequence[int]) -> "Question":
        """Return the question about some of its texts."""
        return Question(tuple(self.texts[place] for place in places), self.vectors[list(places)])


class Engine(Protocol):
    """One model; several may be served side by side by one worker."""

    @property
    def kind(self) -> str:
        """``head``, ``openai`` or ``vllm``."""

    @property
    def remote(self) -> bool:
        """Whether it answers over the network: then it is waited for, and each text is a call."""

    async def prepare(self) -> None:
        """Bring it to where it can answer.

        Raises:
            DependencyError: what it needs is not to be had now.
        """

    async def answer(self, question: Question, *, again: bool) -> list[Raw]:
        """Return one raw answer per text; ``again`` says that the last ones were not usable.

        May raise anything: the guard makes ``model_error`` of it.
        """

    async def close(self) -> None:
        """Let go of connections; a second time does nothing."""
