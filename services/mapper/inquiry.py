"""Answers operators who ask every mapper at once: what it serves, what it counted. Holds no text of a request."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from nats.aio.msg import Msg

from services.mapper.definitions.frameworks import Frameworks
from services.mapper.mapper import Mapped
from services.mapper.mappers import Mappers
from services.mapper.tally import Tally
from trimtab.contracts import subjects
from trimtab.contracts.errors import InvalidMessage
from trimtab.contracts.mappers import MappersRequest, MapperState, ServedTaxonomy
from trimtab.contracts.mapping import UNKNOWN, MapRequest
from trimtab.contracts.message import decode, encode
from trimtab.worker.service import Worker

_ASKED = "none"
"""Reason of an unmapped output when the model was asked and knew nothing either."""


@dataclass
class Inquiry:
    """What one worker tells."""

    worker: Worker
    """Who answers."""
    served: dict[str, Mappers] = field(default_factory=dict)
    """Component reference -> what answers under it."""
    refused: dict[str, str] = field(default_factory=dict)
    """Component reference -> why it was not loaded."""
    tally: Tally = field(default_factory=lambda: Tally(time.monotonic()))
    """Counts."""

    async def listen(self) -> None:
        """Answer from now on."""
        await self.worker.connection.subscribe(subjects.MAPPERS, cb=self._asked)

    def serves(self, reference: str, mappers: Mappers) -> None:
        """Note that a component is served."""
        self.served[reference] = mappers
        self.refused.pop(reference, None)

    def forget(self, reference: str) -> Mappers | None:
        """Note that a component is served no longer; return what answered under it."""
        return self.served.pop(reference, None)

    def mapped(self, request: MapRequest, mapped: Mapped) -> None:
        """Count an answered request."""
        reply = mapped.reply
        labels = tuple(reply.taxonomy)
        self.tally.add(time.monotonic(), request.taxonomy, labels)
        if labels == (UNKNOWN,) and request.output.strip():
            reason = reply.fallback_reason.value if reply.fallback_reason else _ASKED
            self.tally.add_unmapped(mapped.detector, request.output, reason, tell=mapped.tellable)

    def state(self, asked: MappersRequest) -> MapperState:
        """Return what an operator is told."""
        counted, span_s = self.tally.since(time.monotonic(), asked.since_s)
        return MapperState(
            instance=self.worker.identity.instance,
            revision=self.worker.controls.revision,
            served=[each for name in sorted(self.served) for each in self._of(name)],
            refused=dict(sorted(self.refused.items())),
            counted_from=time.time() - span_s,
            answers=counted.answers,
            beyond=counted.beyond,
            labels=counted.labels(),
            controls=counted.controls(self._frameworks()),
            unmapped=self.tally.unmapped(asked.unmapped),
        )

    def _of(self, reference: str) -> list[ServedTaxonomy]:
        mappers = self.served[reference]
        return [
            ServedTaxonomy(
                component=reference,
                component_hash=mappers.content_hash,
                taxonomy=taxonomy,
                versions=mapper.versions(),
            )
            for taxonomy, mapper in sorted(mappers.by_taxonomy.items())
        ]

    def _frameworks(self) -> Mapping[str, Frameworks]:
        """Return the controls by taxonomy, those of the release that serves when components differ."""
        controls = self.worker.controls.current
        stable = controls.release.map if controls is not None else ""
        order = sorted(self.served, key=lambda reference: reference == stable)
        return {
            taxonomy: mapper.frameworks
            for reference in order
            for taxonomy, mapper in self.served[reference].by_taxonomy.items()
            if mapper.frameworks is not None
        }

    async def _asked(self, message: Msg) -> None:
        if not message.reply.startswith(subjects.INBOX_PREFIX):
            return
        try:
            asked = decode(MappersRequest, message.data)
        except InvalidMessage:
            return  # an operator's tool of another version: its window ends without our answer
        await self.worker.connection.publish(message.reply, encode(self.state(asked)))
