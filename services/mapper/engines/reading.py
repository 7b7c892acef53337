"""A language model's answer read: which candidate it chose, and how probable the choice was. Pure.

The probability is the constrained model's: at each token of the label, the share of what leads to the
chosen label among what leads to any candidate. Tokens that no candidate could continue with do not
count, so it makes no difference whether a server reports its probabilities before or after the mask.
"""

import json
import math
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from services.mapper.engines.prompt import KEY

MAX_CHARS = 4096
"""Longest answer that is read at all."""


class Alternative(msgspec.Struct, frozen=True):
    """A token that could have come."""

    token: str
    """Its text."""
    logprob: Annotated[float, Meta(le=0.001)]
    """Natural logarithm of its probability."""


class Token(msgspec.Struct, frozen=True):
    """A token that came."""

    token: str
    """Its text."""
    logprob: Annotated[float, Meta(le=0.001)]
    """Natural logarithm of its probability."""
    top_logprobs: list[Alternative] = []
    """The most probable tokens there; the one that came need not be among them."""


class Logprobs(msgspec.Struct, frozen=True):
    """Probabilities of an answer."""

    content: list[Token] | None = None
    """In order; None from a server that has none."""


class Said(msgspec.Struct, frozen=True):
    """The message of a choice."""

    content: str | None = None
    """What the model wrote."""


class Choice(msgspec.Struct, frozen=True):
    """One answer of several."""

    message: Said
    """What was said."""
    logprobs: Logprobs | None = None
    """How probable it was."""


class Completion(msgspec.Struct, frozen=True):
    """A chat completion, as far as it is read here."""

    choices: Annotated[list[Choice], Meta(min_length=1)]
    """The first one counts."""


def label_of(content: str | None, labels: Sequence[str]) -> str | None:
    """Return the label of ``{"label": ...}`` when it is one of ``labels``, else None."""
    if content is None or len(content) > MAX_CHARS:
        return None
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or set(said) != {KEY}:
        return None
    label = said[KEY]
    return label if isinstance(label, str) and label in labels else None


def probability(tokens: Sequence[Token], label: str, labels: Sequence[str]) -> float | None:
    """Return how probable the choice of ``label`` among ``labels`` was, 0..1; None when it cannot be told.

    It cannot when the tokens do not spell the label out between quotes.
    """
    text = "".join(token.token for token in tokens)
    quoted = f'"{label}"'
    start = text.rfind(quoted)
    if start < 0:
        return None
    end, tail = start + len(quoted), text[start + len(quoted) :]
    wholes = {each: f'{text[:start]}"{each}"{tail}' for each in labels}
    logarithm, place = 0.0, 0
    for token in tokens:
        if place + len(token.token) > start and place < end:
            share = _share(token, text[:place], label, wholes)
            if share is None:
                return None
            logarithm += math.log(share)
        place += len(token.token)
    return min(1.0, math.exp(logarithm))


def _share(token: Token, before: str, label: str, wholes: dict[str, str]) -> float | None:
    """Return the share of what leads to ``label``; None when it is nothing at all."""
    alternatives = {each.token: each.logprob for each in token.top_logprobs}
    alternatives[token.token] = token.logprob
    ours = others = 0.0
    for text, logprob in alternatives.items():
        led = [name for name, whole in wholes.items() if text and whole.startswith(before + text)]
        if label in led:
            ours += math.exp(logprob)
        elif led:
            others += math.exp(logprob)
    return ours / (ours + others) if ours > 0 else None
