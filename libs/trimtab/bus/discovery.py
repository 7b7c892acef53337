"""``$SRV.PING|INFO|STATS``: the service protocol of ADR-32, so that the standard NATS tools see our workers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg

from trimtab.contracts.subjects import DISCOVERY, INBOX_PREFIX

_TYPE = "io.nats.micro.v1.{}_response"


@dataclass
class EndpointStats:
    """What ADR-32 wants to know of one endpoint, since the worker started."""

    name: str
    """Endpoint name."""
    subject: str
    """What it listens to."""
    queue_group: str
    """Who shares the work."""
    requests: int = 0
    """Answered, errors included."""
    errors: int = 0
    """Answered with an error."""
    last_error: str = ""
    """``code:name`` of the newest."""
    processing_ns: int = 0
    """Summed service time."""

    def info(self) -> dict[str, Any]:
        """Return the endpoint as INFO lists it."""
        return {
            "name": self.name,
            "subject": self.subject,
            "queue_group": self.queue_group,
            "metadata": {},
        }

    def stats(self) -> dict[str, Any]:
        """Return the endpoint as STATS lists it; times in nanoseconds."""
        return {
            "name": self.name,
            "subject": self.subject,
            "queue_group": self.queue_group,
            "num_requests": self.requests,
            "num_errors": self.errors,
            "last_error": self.last_error,
            "processing_time": self.processing_ns,
            "average_processing_time": self.processing_ns // self.requests if self.requests else 0,
        }


@dataclass
class Discovery:
    """Answers the three verbs for one worker, at each of the three addresses ADR-32 names."""

    service: str
    """Service name."""
    instance: str
    """Service id."""
    version: str
    """SemVer."""
    description: str
    """One line."""
    metadata: Callable[[], dict[str, str]]
    """Components loaded, readiness: asked at each reply."""
    endpoints: list[EndpointStats] = field(default_factory=list)
    """Filled by the server."""
    started: str = field(
        default_factory=lambda: datetime.now(UTC).isoformat().replace("+00:00", "Z")
    )
    """RFC 3339."""

    async def start(self, connection: NatsClient) -> None:
        """Subscribe; no queue group, for every worker answers."""
        for verb in ("PING", "INFO", "STATS"):
            for address in ("", f".{self.service}", f".{self.service}.{self.instance}"):
                await connection.subscribe(
                    f"{DISCOVERY}.{verb}{address}", cb=self._answerer(verb, connection)
                )

    def body(self, verb: str) -> dict[str, Any]:
        """Return the reply to PING, INFO or STATS."""
        common: dict[str, Any] = {
            "name": self.service,
            "id": self.instance,
            "version": self.version,
            "metadata": self.metadata(),
            "type": _TYPE.format(verb.lower()),
        }
        if verb == "INFO":
            common |= {
                "description": self.description,
                "endpoints": [endpoint.info() for endpoint in self.endpoints],
            }
        elif verb == "STATS":
            common |= {
                "started": self.started,
                "endpoints": [endpoint.stats() for endpoint in self.endpoints],
            }
        return common

    def _answerer(self, verb: str, connection: NatsClient) -> Callable[[Msg], Any]:
        async def answer(message: Msg) -> None:
            if message.reply.startswith(INBOX_PREFIX):
                await connection.publish(message.reply, orjson.dumps(self.body(verb)))

        return answer
