"""Engines 2 and 3: a language model over HTTP chooses among the labels that engine 1 retrieved.

Every OpenAI-compatible server is asked alike, with a JSON schema that names the candidates. vLLM is
given the same as a regular expression, and a LoRA adapter beside its base model.
"""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any

import msgspec

from services.mapper.engines import prompt
from services.mapper.engines.candidates import Candidate, Retrieval
from services.mapper.engines.card import EngineCard
from services.mapper.engines.engine import NOTHING_USABLE, Question, QuestionRefused, Raw
from services.mapper.engines.reading import Choice, Completion, label_of, probability
from services.mapper.model.calibration import Calibration, of_probability
from trimtab.llm import adapters
from trimtab.llm.adapters import Lora
from trimtab.llm.wire import NOT_FOUND, LlmFailed, Wire

_PATH = "/v1/chat/completions"
_REFUSALS = frozenset({400, 413, 422})
"""Statuses that are about the one request."""

_TOP = 20
"""Most alternatives per token that OpenAI's interface allows; vLLM's default limit too."""


@dataclass(frozen=True, slots=True)
class ChatEngine:
    """An :class:`Engine` over a server of language models."""

    wire: Wire
    """Where the server is."""
    card: EngineCard
    """What to ask, and how."""
    retrieval: Retrieval
    """Where the candidates come from."""
    calibration: Calibration
    """Of the answer's probability."""
    lora: Lora | None = None
    """Adapter to ask in place of the base model."""
    unloads: bool = False
    """Whether the adapter goes with this worker: only where the server serves nobody else."""
    remote: bool = True
    """It is waited for."""

    @property
    def kind(self) -> str:
        """``openai`` or ``vllm``."""
        return self.card.kind

    async def prepare(self) -> None:
        """Load the adapter, where there is one; a base model is known to be there when it answers.

        Raises:
            LlmFailed: the server is not there or refuses the adapter.
        """
        if self.kind == "vllm" and not await self.wire.healthy():
            raise LlmFailed(self.wire.server, "is not healthy; is it running at its address?")
        if self.lora is not None:
            await adapters.load(self.wire, self.lora)

    async def answer(self, question: Question, *, again: bool) -> list[Raw]:
        """Ask about every text at once; the server packs them into its own batches.

        Raises:
            LlmFailed: the server gives no answer to one of them.
        """
        found = self.retrieval.of(question)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._choose(text, candidates, again=again))
                    for text, candidates in zip(question.texts, found, strict=True)
                ]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return [task.result() for task in tasks]

    async def close(self) -> None:
        """Unload the adapter where that was asked for, and close the connections."""
        if self.wire.closed:
            return
        if self.lora is not None and self.unloads:
            with contextlib.suppress(LlmFailed):  # a server that is gone holds nothing
                await adapters.unload(self.wire, self.lora)
        await self.wire.close()

    async def _choose(self, text: str, candidates: tuple[Candidate, ...], *, again: bool) -> Raw:
        answer = await self._post(self._body(text, candidates, again=again))
        try:
            choice = msgspec.json.decode(answer, type=Completion).choices[0]
        except msgspec.DecodeError:
            return NOTHING_USABLE
        return self._read(choice, candidates)

    async def _post(self, body: dict[str, Any]) -> bytes:
        try:
            return await self.wire.post(_PATH, body)
        except LlmFailed as error:
            if error.http_status in _REFUSALS:
                raise QuestionRefused(error.detail) from None
            if error.http_status != NOT_FOUND or self.lora is None:
                raise
        # The server was started anew and knows its base model alone.
        await adapters.load(self.wire, self.lora)
        return await self.wire.post(_PATH, body)

    def _body(self, text: str, candidates: tuple[Candidate, ...], *, again: bool) -> dict[str, Any]:
        return {
            "model": self.card.model if self.lora is None else self.lora.name,
            "messages": prompt.messages(candidates, text, self.card.instruction, again=again),
            "temperature": 0,
            "max_tokens": self.card.max_tokens,
            "logprobs": True,
            "top_logprobs": _TOP,
        } | self._held_to(candidates)

    def _held_to(self, candidates: tuple[Candidate, ...]) -> dict[str, Any]:
        if self.kind == "vllm":
            return {"structured_outputs": {"regex": prompt.pattern(candidates)}}
        form = {"name": "mapping", "strict": True, "schema": prompt.schema(candidates)}
        return {"response_format": {"type": "json_schema", "json_schema": form}}

    def _read(self, choice: Choice, candidates: tuple[Candidate, ...]) -> Raw:
        shares = {each.label: each.share for each in candidates}
        label = label_of(choice.message.content, list(shares))
        if label is None:
            return NOTHING_USABLE
        told = choice.logprobs.content if choice.logprobs is not None else None
        raw = probability(told, label, list(shares)) if told else None
        # Without probabilities of its own the answer is as sure as engine 1 is of that label.
        confidence = shares[label] if raw is None else of_probability(self.calibration, raw)
        return {"taxonomy": [label], "scores": {label: confidence}, "confidence": confidence}
