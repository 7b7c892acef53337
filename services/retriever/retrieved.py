"""The answer to one request on its way out: the reply, what it took, and what was noticed."""

from dataclasses import dataclass, replace

import msgspec

from trimtab.contracts.retrieve import RetrieveReply


@dataclass(frozen=True, slots=True)
class Retrieved:
    """A reply and what was noticed while making it."""

    reply: RetrieveReply
    """To send."""
    took_s: dict[str, float]
    """Seconds by part: dense, lexical, passages, signals."""
    bad: tuple[str, ...]
    """Bad events to count."""
    top_cosine: float | None = None
    """Mean cosine between the first five candidates, 0..1; None with fewer than two."""

    def after(self, waited_s: float) -> "Retrieved":
        """Return it with the time that a vector database took counted as the dense half's."""
        took_s = {**self.took_s, "dense": self.took_s["dense"] + waited_s}
        return replace(self, took_s=took_s)

    def answer(self) -> RetrieveReply:
        """Return the reply; one that tells how the index was searched tells how long each part took, too."""
        use = self.reply.search
        if use is None:
            return self.reply
        took_ms = {part: round(took_s * 1000, 3) for part, took_s in self.took_s.items()}
        use = msgspec.structs.replace(use, took_ms=took_ms)
        return msgspec.structs.replace(self.reply, search=use)
