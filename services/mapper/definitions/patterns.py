"""Declared patterns: regular expressions that match whole names only and cannot run away.

The grammar is cut down until bad ones cannot be written: anchored at both ends, no lookaround, no
back-references, no repeated group, at most one unbounded repeat. Matching is then linear in the
length of the input, which is limited too.
"""

import re

MAX_INPUT_CHARS = 256
"""Longer outputs are texts, not names, and no pattern is tried on them."""

_MAX_REPEAT = 64
_ATOM = re.compile(
    r"""
    (?P<refused>\(\?(?!:)|\\[1-9AbBZGg<])   # lookaround, flags, named groups, back-references, inner anchors
  | (?P<open>\((?:\?:)?)
  | (?P<close>\))
  | (?P<repeat>[*+?]|\{\d{0,3}(?:,\d{0,3})?\})
  | (?P<bar>\|)
  | (?P<anchor>[\^$])
  | (?P<atom>\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[^\\\[\](){}*+?|^$])
    """,
    re.VERBOSE | re.DOTALL,
)


class PatternRefused(ValueError):
    """The pattern is outside the grammar; the message says which part and why."""


def compile_pattern(expression: str) -> re.Pattern[str]:
    """Compile ``^...$`` after checking that it is within the grammar.

    Raises:
        PatternRefused: it is not anchored, uses a construct that is not allowed, or is no regular
            expression.
    """
    if not (expression.startswith("^") and expression.endswith("$")) or expression.endswith("\\$"):
        raise PatternRefused("must start with ^ and end with $: a pattern matches whole names")
    _check(expression[1:-1])
    try:
        return re.compile(expression[1:-1])
    except re.error as error:
        raise PatternRefused(f"is not a regular expression: {error}") from None


def _check(body: str) -> None:
    unbounded, previous, at = 0, "start", 0
    while at < len(body):
        token = _ATOM.match(body, at)
        if token is None:
            raise PatternRefused(f"cannot be read at character {at + 2}")
        kind = str(token.lastgroup)
        if kind in {"refused", "anchor"}:
            raise PatternRefused(f"{token.group()} is not allowed")
        if kind == "repeat":
            unbounded += _repeat(token.group(), previous)
        previous, at = kind, token.end()
    if unbounded > 1:
        raise PatternRefused("has more than one unbounded repeat (* or + or {n,})")


def _repeat(repeat: str, previous: str) -> int:
    """Return 1 for an unbounded repeat; raise when it may not stand here."""
    if previous not in {"atom", "close"}:
        raise PatternRefused(f"{repeat} repeats nothing, or another repeat")
    if repeat == "?":
        return 0
    if previous == "close":
        raise PatternRefused(
            "a group may be optional (?) but not repeated: nested repeats run away"
        )
    if repeat in {"*", "+"}:
        return 1
    low, _, high = repeat[1:-1].partition(",")
    if "," in repeat and not high:
        return 1
    if int(high or low or 0) > _MAX_REPEAT:
        raise PatternRefused(f"{repeat} repeats more than {_MAX_REPEAT} times")
    return 0
