"""What the mapping surface takes in: bounded payloads, and labels where no free text was agreed on."""

from dataclasses import dataclass

from trimtab.contracts.errors import MessageTooLarge, RawContent
from trimtab.contracts.labels import check_raw
from trimtab.contracts.message import encode
from trimtab.contracts.pipeline import MapCall
from trimtab.telemetry.metrics import MAPPER_PAYLOAD_REJECTED


@dataclass(frozen=True, slots=True)
class Screen:
    """The policy of one gateway."""

    max_bytes: int
    """Largest mapping request, bytes; over HTTP the body, over NATS the message."""
    reject_raw: bool
    """Whether outputs that look like raw content are refused."""
    free_text: frozenset[str]
    """Detectors whose outputs may be free text."""

    def check(self, call: MapCall) -> None:
        """Refuse one item that may not come in.

        Raises:
            MessageTooLarge: it is larger than the policy allows.
            RawContent: it looks like what a detector read, not like what it said.
        """
        size = len(call.output) + len(call.taxonomy)
        if (
            size * 4 > self.max_bytes
        ):  # a character has at most four bytes: only large ones are encoded for it
            self.check_size(len(encode(call)))
        if not self.reject_raw or call.detector in self.free_text:
            return
        try:
            check_raw(call.detector, call.output)
        except RawContent:
            MAPPER_PAYLOAD_REJECTED.labels("raw_content").inc()
            raise

    def check_size(self, size: int) -> None:
        """Refuse what is larger than the policy allows; raises MessageTooLarge."""
        if size > self.max_bytes:
            raise self.oversize(size)

    def oversize(self, size: int) -> MessageTooLarge:
        """Count and return the error of a request of ``size`` bytes."""
        MAPPER_PAYLOAD_REJECTED.labels("oversize").inc()
        return MessageTooLarge(size, self.max_bytes)
