"""The mapper asked by a caller who knows of no switch: what it does then is its own obedience, not the gateway's."""

import re
from dataclasses import dataclass

import httpx

from tests.drills.asking import context
from tests.drills.steering import of
from trimtab.bus.caller import Answer, Caller
from trimtab.client import Client
from trimtab.contracts import subjects
from trimtab.contracts.encode import EncodeReply, EncodeRequest
from trimtab.contracts.mapping import MappingMode, MapReply, MapRequest
from trimtab.contracts.tensor import Matrix

ENCODER = "minilm-int8@1"
ADAPTER = "safety-head@1"
BUDGET_MS = 20_000
_CALLS = re.compile(r"^mapper_model_invocations_total\{[^}]*\} ([0-9.e+]+)$", re.MULTILINE)
_NAMESPACE = "single_vector.minilm.384.v1"


@dataclass(frozen=True)
class MapperItself:
    """Asks mappers to use their model on one text."""

    caller: Caller
    text: str
    vectors: Matrix
    """Of the text: a mapper that may use its model has all that it needs."""

    @classmethod
    async def open(cls, client: Client, text: str) -> "MapperItself":
        """Encode the text once."""
        caller = Caller(client.connection)
        request = EncodeRequest(namespace=_NAMESPACE, texts=[text])
        encoded = await caller.call(
            subjects.encode(ENCODER), request, EncodeReply, context(BUDGET_MS)
        )
        return cls(caller, text, encoded.message.vectors)

    async def ask(self, budget_ms: int = BUDGET_MS) -> Answer[MapReply]:
        """Ask whichever mapper the queue group picks; the answer names it.

        Raises:
            TrimtabError: what it replied, or that there is none.
        """
        request = MapRequest(
            taxonomy="ai-safety",
            detector="text",
            output=self.text,
            vectors=self.vectors,
            mode=MappingMode.HYBRID,
            fallback=None,
            threshold=None,
        )
        return await self.caller.call(
            subjects.mapping(ADAPTER), request, MapReply, context(budget_ms)
        )


async def model_calls(client: Client, instance: str = "") -> float:
    """Return how often the models of one mapper, or of all, were called, from their own metrics."""
    total = 0.0
    async with httpx.AsyncClient(trust_env=False) as http:
        for sample in await of(client, "mapper"):
            if instance in ("", sample.instance):
                page = await http.get(f"http://127.0.0.1:{sample.facts['http_port']}/metrics")
                total += sum(float(number) for number in _CALLS.findall(page.text))
    return total
