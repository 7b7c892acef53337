"""Where a search's time goes inside the retriever, by its own histogram, between two moments."""

import asyncio
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

from nats.aio.client import Client as NatsClient

from trimtab.contracts import subjects
from trimtab.contracts.message import decode, encode
from trimtab.contracts.samples import HealthRequest, Sample

_NAME = "retriever_search_duration_seconds"
_ANSWER_S = 10.0


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds and searches counted so far, by part."""

    seconds: Mapping[str, float]
    """Sum."""
    searches: Mapping[str, float]
    """How many."""

    def since(self, earlier: "Spent") -> dict[str, float]:
        """Return the mean of each part in ms over the searches since another moment."""
        return {
            part: 1000 * (self.seconds[part] - earlier.seconds[part]) / searches
            for part in self.seconds
            if (searches := self.searches[part] - earlier.searches.get(part, 0.0)) > 0
        }


async def metrics_url(connection: NatsClient) -> str:
    """Return where the retriever shows its metrics.

    Raises:
        TimeoutError: no retriever says so.
    """
    inbox = connection.new_inbox()
    answers = await connection.subscribe(inbox)
    await connection.publish(subjects.HEALTH, encode(HealthRequest()), reply=inbox)
    try:
        async with asyncio.timeout(_ANSWER_S):
            while True:
                sample = decode(Sample, (await answers.next_msg(timeout=None)).data)
                if sample.service == "retriever":
                    return f"http://127.0.0.1:{sample.facts['http_port']}/metrics"
    finally:
        await answers.unsubscribe()


async def spent(url: str) -> Spent:
    """Return what was spent by now."""
    return parse(await asyncio.to_thread(_fetch, url))


def parse(text: str) -> Spent:
    """Return what a page of metrics says. Pure."""
    found: dict[str, dict[str, float]] = {"sum": {}, "count": {}}
    for line in text.splitlines():
        for kind, values in found.items():
            head = f'{_NAME}_{kind}{{part="'
            if line.startswith(head):
                part, _, value = line.removeprefix(head).partition('"} ')
                values[part] = float(value)
    return Spent(found["sum"], found["count"])


def _fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        text: str = answer.read().decode()
    return text
