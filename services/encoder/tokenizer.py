"""Texts to token ids with the model's own tokenizer, and the token budget per text."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from trimtab.artifacts.manifest import ArtifactCorrupt
from trimtab.contracts.encode import Overflow
from trimtab.contracts.errors import InvalidText, TokenBudgetExceeded


@dataclass(frozen=True, slots=True)
class Specials:
    """How many special tokens a tokenizer puts around every text; ``[CLS] text [SEP]`` is (1, 1)."""

    before: int
    """At the start."""
    after: int
    """At the end; kept when a text is truncated."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """One text as the model will see it."""

    ids: Sequence[int]
    """Token ids, at most the budget, special tokens included."""
    total: int
    """Tokens of the whole text, special tokens included."""

    @property
    def truncated(self) -> bool:
        """Whether the text lost its tail."""
        return self.total > len(self.ids)


def fit(ids: Sequence[int], specials: Specials, budget: int) -> Fitted:
    """Keep the first ``budget`` tokens, the closing special tokens always among them."""
    if len(ids) <= budget:
        return Fitted(ids, len(ids))
    head = budget - specials.after
    return Fitted([*ids[:head], *ids[len(ids) - specials.after :]], len(ids))


def check_tokens(
    index: int, total: int, specials: Specials, budget: int, overflow: Overflow
) -> None:
    """Apply the policy to one text of ``total`` tokens; ``index`` is its place in the request.

    Raises:
        InvalidText: nothing but special tokens: the text held only characters that the model drops.
        TokenBudgetExceeded: over the budget, and the policy is to reject.
    """
    if total <= specials.before + specials.after:
        raise InvalidText(index, "holds no character that the model knows")
    if overflow == "reject" and total > budget:
        raise TokenBudgetExceeded(index, total, budget)


def check_text(index: int, text: str) -> None:
    """Refuse what needs no tokenizer to refuse.

    Raises:
        InvalidText: the text is empty or blank.
    """
    if not text or text.isspace():
        raise InvalidText(index, "is blank" if text else "is empty")


@dataclass(frozen=True, slots=True)
class TextTokenizer:
    """A ``tokenizer.json`` with its own truncation and padding switched off: the budget is ours."""

    inner: Tokenizer
    """The fast tokenizer."""
    specials: Specials
    """What it adds."""

    @classmethod
    def load(cls, path: Path) -> "TextTokenizer":
        """Read a verified ``tokenizer.json``.

        Raises:
            ArtifactCorrupt: it is no tokenizer.
        """
        try:
            inner = Tokenizer.from_file(str(path))
        # The library raises a bare Exception for a file it cannot parse.
        except Exception as error:
            raise ArtifactCorrupt(path.parent.name, path.name, "is no tokenizer") from error
        inner.no_truncation()
        inner.no_padding()
        return cls(inner, _specials(inner))

    def ids(self, text: str) -> list[int]:
        """Return all token ids of a text, special tokens included."""
        # One by one: the batch call starts a thread per core, which fights the model for them.
        ids: list[int] = self.inner.encode(text).ids
        return ids

    def vocabulary(self) -> dict[str, int]:
        """Return the id of every term, special ones included."""
        known: dict[str, int] = self.inner.get_vocab()
        return known


def _specials(inner: Tokenizer) -> Specials:
    mask = inner.encode("a").special_tokens_mask
    before = mask.index(0)
    return Specials(before, len(mask) - before - mask.count(0))
