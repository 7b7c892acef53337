"""The error tree in the docstring is the tree in the code, and every error travels whole."""

import inspect
import re

import msgspec
import pytest

from trimtab.contracts import errors
from trimtab.contracts.errors import (
    STATUS,
    ErrorCode,
    ErrorReply,
    RemoteError,
    TrimtabError,
)
from trimtab.contracts.message import decode

_LINE = re.compile(r"^(?P<bars>[│ ]*)(?:├── |└── )(?P<name>\w+) *(?P<status>\d{3})?")

RETRYABLE = {
    "BusyError",
    "Overloaded",
    "RateLimited",
    "Draining",
    "NotReady",
    "DependencyError",
    "NoWorkers",
    "BusUnavailable",
    "ModelFailed",
    "RequestInProgress",
    "RevisionConflict",
}
"""Every class whose request may succeed on another worker or a moment later; no other."""

SAMPLES: tuple[TrimtabError, ...] = (
    errors.InvalidMessage("SearchRequest", "`limit` must be >= 1"),
    errors.InvalidText(3, "is blank"),
    errors.TokenBudgetExceeded(0, 900, 256),
    errors.DimensionMismatch("vector", 768, 384),
    errors.NamespaceMismatch("vector", "a.v1", "b.v1"),
    errors.UnknownDocument("d-1", "ops"),
    errors.MessageTooLarge(2_000_000, 1_048_576),
    errors.UnknownNamespace("x.v1", ("a.v1", "b.v1")),
    errors.UnknownCollection("x", ("stdlib",)),
    errors.UnknownTaxonomy("x"),
    errors.UnknownFramework("x"),
    errors.UnknownExplanation("r-1", "acme"),
    errors.UnknownJob("job-1"),
    errors.RawContent("openai-moderation", "characters", 4000, 2047),
    errors.IdempotencyConflict("this idempotency key", "ab" * 32, "cd" * 32),
    errors.RequestInProgress(),
    errors.Unauthenticated(),
    errors.OutOfScope("0123456789ab", "write"),
    errors.ForeignTenant("acme"),
    errors.RateLimited(600, 3.0),
    errors.ForeignReplySubject(),
    errors.Overloaded("encoder", 64),
    errors.DeadlineExceeded("retrieve", -3.2),
    errors.Draining("mapper"),
    errors.NotReady("encoder minilm@1"),
    errors.NoWorkers("a.subject"),
    errors.BusUnavailable(),
    errors.ModelFailed("index stdlib@3"),
    errors.UnknownRelease("next", ("base",)),
    errors.UnknownSetting("x", ("retriever.nprobe",)),
    errors.SettingOutOfBounds("retriever.nprobe", "0", 1, 4096),
    errors.InvalidCommand("no canary is running"),
    errors.RevisionConflict(3, 4),
    errors.ReleaseExists("next", "ab", "cd"),
    errors.ReleaseInUse("next", "being ramped", "abort it first"),
    errors.InterlockRefused("loaded:encode", "no live encoder"),
    errors.Disabled("reranker"),
    errors.InternalError(),
)


def classes() -> dict[str, type[TrimtabError]]:
    """Return every error class of the module but the root and the stand-in for remote ones."""
    found = inspect.getmembers(errors, inspect.isclass)
    skip = (TrimtabError, RemoteError)
    return {n: c for n, c in found if issubclass(c, TrimtabError) and c not in skip}


def drawn() -> dict[str, tuple[str, int | None]]:
    """Read the docstring's tree: class name -> (parent's name, status where one stands)."""
    tree: dict[str, tuple[str, int | None]] = {}
    group = ""
    for line in inspect.getdoc(errors).splitlines():  # type: ignore[union-attr]
        match = _LINE.match(line.strip("\n").removeprefix("    "))
        if match is None:
            continue
        name, status = match["name"], match["status"]
        nested = bool(match["bars"])
        tree[name] = (group if nested else "TrimtabError", int(status) if status else None)
        group = group if nested else name
    return tree


def test_the_docstring_draws_every_class_and_only_those() -> None:
    assert sorted(drawn()) == sorted(classes())


@pytest.mark.parametrize("name", classes())
def test_a_class_hangs_where_the_docstring_draws_it(name: str) -> None:
    parent, _ = drawn()[name]

    assert [base.__name__ for base in classes()[name].__bases__] == [parent]


@pytest.mark.parametrize("error", SAMPLES, ids=lambda e: type(e).__name__)
def test_a_class_has_the_status_the_docstring_states(error: TrimtabError) -> None:
    _, status = drawn()[type(error).__name__]

    assert error.status == status


@pytest.mark.parametrize("name", classes())
def test_a_class_is_retryable_exactly_when_the_table_says_so(name: str) -> None:
    assert classes()[name].retryable is (name in RETRYABLE)


def test_every_leaf_of_the_tree_has_a_sample_here() -> None:
    leaves = {name for name, kind in classes().items() if not kind.__subclasses__()}

    assert {type(error).__name__ for error in SAMPLES} == leaves


def test_every_code_has_a_status_that_http_and_nats_accept() -> None:
    assert set(STATUS) == set(ErrorCode)
    assert all(400 <= status <= 599 for status in STATUS.values())


def test_every_code_is_used_by_some_class() -> None:
    assert {kind.code for kind in classes().values()} == set(ErrorCode)


@pytest.mark.parametrize("error", SAMPLES, ids=lambda e: type(e).__name__)
def test_an_error_survives_the_wire_and_is_raised_as_it_was(error: TrimtabError) -> None:
    reply = decode(ErrorReply, msgspec.msgpack.encode(error.reply()))
    raised = RemoteError(reply)

    assert raised.reply() == error.reply()
    assert raised.status == error.status
    assert str(raised) == str(error)


@pytest.mark.parametrize("error", SAMPLES, ids=lambda e: type(e).__name__)
def test_an_error_states_its_own_attributes_in_its_message(error: TrimtabError) -> None:
    numbers = [v for v in vars(error).values() if isinstance(v, int)]

    assert all(str(number) in error.detail for number in numbers)
    assert len(error.detail) >= 12
