"""Reads the declarations of ``libs/trimtab/telemetry/metrics.py`` without importing a client library."""

import ast
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "libs" / "trimtab" / "telemetry" / "metrics.py"

_KINDS = {"Counter", "Gauge", "Histogram", "Summary"}


@dataclass(frozen=True)
class Metric:
    """One declared metric."""

    name: str
    """As Prometheus stores it; a histogram's series add ``_bucket``, ``_sum`` and ``_count``."""
    kind: str
    """Counter, Gauge or Histogram."""
    help: str
    """One sentence."""
    labels: tuple[str, ...]
    """Label names."""
    buckets: tuple[float, ...]
    """Upper bounds of a histogram; empty for the others."""

    @property
    def series(self) -> frozenset[str]:
        """Every series name that a query may use."""
        if self.kind == "Histogram":
            return frozenset(f"{self.name}{part}" for part in ("_bucket", "_sum", "_count"))
        return frozenset({self.name})


def declared(path: Path = SOURCE) -> list[Metric]:
    """Return every metric in the order of its declaration."""
    tree = ast.parse(path.read_text())
    constants = _constants(tree)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [_metric(call, constants) for call in calls if _kind(call) in _KINDS]


def _kind(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _constants(tree: ast.Module) -> dict[str, tuple[float, ...]]:
    """Return the module's tuples of numbers by name: buckets are declared once and shared."""
    return {
        statement.targets[0].id: ast.literal_eval(statement.value)
        for statement in tree.body
        if isinstance(statement, ast.Assign)
        and isinstance(statement.targets[0], ast.Name)
        and isinstance(statement.value, ast.Tuple)
    }


def _metric(call: ast.Call, constants: dict[str, tuple[float, ...]]) -> Metric:
    name, text, labels = (ast.literal_eval(argument) for argument in call.args[:3])
    buckets: tuple[float, ...] = ()
    for keyword in call.keywords:
        if keyword.arg == "buckets":
            value = keyword.value
            shared = isinstance(value, ast.Name)
            buckets = constants[value.id] if shared else ast.literal_eval(value)  # type: ignore[attr-defined]
    return Metric(name, _kind(call), text, tuple(labels), tuple(buckets))
