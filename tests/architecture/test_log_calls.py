"""No log call is given what a caller sent: one literal event, allow-listed keys, lengths and hashes of the rest."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, parsed, sources
from trimtab.telemetry.logs import ALLOWED

_LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
_LOGGERS = {"log", "_log", "logger", "_logger"}
_TEXTS = {
    "answer", "authorization", "body", "call", "content", "data", "document", "documents", "fields",
    "key", "line", "metadata", "output", "outputs", "passage", "payload", "prompt", "query", "raw", "reply",
    "request", "secret", "session", "tenant", "text", "texts", "title", "token",
}  # fmt: skip
"""Names that hold what callers sent or were answered."""

_HARMLESS = {"len", "tenant_hash", "sha256", "hexdigest", "type", "isinstance", "bool"}
"""Calls whose result says nothing of the text that they were given."""

_STRUCTURED = ("libs", "services")


def log_calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Yield every call of a logger's level."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in _LEVELS
            and _last(node.func.value) in _LOGGERS
        ):
            yield node


def _last(node: ast.AST) -> str:
    """Return the last name of a dotted expression; empty for anything else."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _literal(node: ast.AST) -> bool:
    """Whether an expression is a literal, or one of two."""
    if isinstance(node, ast.IfExp):
        return _literal(node.body) and _literal(node.orelse)
    return isinstance(node, ast.Constant)


def _logger(node: ast.AST) -> bool:
    """Whether an expression is ``logging.getLogger(...)``."""
    return isinstance(node, ast.Call) and _last(node.func) == "getLogger"


def given(node: ast.AST) -> Iterator[str]:
    """Yield the names of texts that an expression hands on; what stands in a harmless call is not."""
    if isinstance(node, ast.Call) and _last(node.func) in _HARMLESS:
        return
    if isinstance(node, ast.Attribute | ast.Name) and _last(node) in _TEXTS:
        yield _last(node)
    for part in _parts(node):
        yield from given(part)


def _parts(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what an expression is made of; of `request.job.id` nothing, for only the id is handed on."""
    if isinstance(node, ast.Attribute):
        if not isinstance(node.value, ast.Name | ast.Attribute):
            yield node.value
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        yield from (node.func.value, *node.args, *node.keywords)
    else:
        yield from ast.iter_child_nodes(node)


def wrongs(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and fault of every log call that may write a text."""
    for call in log_calls(tree):
        if len(call.args) != 1 or not _literal(call.args[0]):
            yield call.lineno, "the event is not one literal"
        for keyword in call.keywords:
            if keyword.arg not in ALLOWED:
                yield call.lineno, f"{keyword.arg} is not allow-listed"
            for name in given(keyword.value):
                yield call.lineno, f"{keyword.arg} is given {name}"


def test_no_log_call_is_given_a_text() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line} {fault}"
        for path in sources(*_STRUCTURED)
        for line, fault in wrongs(parsed(path))
    ]

    assert found == []


def test_no_service_logs_by_another_way() -> None:
    """``print`` is looked for elsewhere; the standard library's loggers know no allow-list, and may be silenced only."""
    home = Path("libs/trimtab/telemetry/logs.py")
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources(*_STRUCTURED)
        if path.relative_to(ROOT) != home
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Attribute)
        and node.attr in {*_LEVELS, "basicConfig"}
        and (_last(node.value) == "logging" or _logger(node.value))
    ]

    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "self.log.info('x', detail=request.text)",
        "log.warning('x', detail=f'no {output}')",
        "worker.log.error('x', reason=str(body))",
        "self._log.info(f'got {text}')",
        "log.info('x', text=1)",
        "log.info('x', detail=job.request.decode())",
        "log.info('x', detail=text[:10])",
    ],
)
def test_the_rule_sees_each_way_of_logging_a_text(line: str) -> None:
    assert list(wrongs(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    ["self.log.info('x', bytes=len(body))", "log.info('x', request_id=context.request_id)"],
)
def test_the_rule_lets_ids_and_lengths_pass(line: str) -> None:
    assert not list(wrongs(ast.parse(line)))


def test_the_rule_looks_at_many_calls() -> None:
    assert sum(1 for path in sources(*_STRUCTURED) for _ in log_calls(parsed(path))) > 40
