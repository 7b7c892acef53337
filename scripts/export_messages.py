"""Writes ``docs/messages.md``: every subject, header, error and contract, read from the code.

Usage: ``python -m scripts.export_messages``
"""

import dataclasses
import enum
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import msgspec
import msgspec.inspect as mi

from scripts import docstrings, field_types
from tests.contracts.catalogue import contracts, modules
from trimtab.contracts import errors, headers, subjects
from trimtab.contracts.errors import RemoteError, TrimtabError

PATH = Path(__file__).parents[1] / "docs" / "messages.md"

_INTRODUCTION = """\
# Messages

Generated from `libs/trimtab/contracts` by `python -m scripts.export_messages`; a test fails when it is stale.

Every message is headers plus a [msgpack](https://msgpack.org) map with the fields below, frozen and closed
to unknown fields. Vectors travel as raw little-endian bytes in a [Matrix](#matrix). A reply that carries the header
`Nats-Service-Error` is an error: its body is an [ErrorReply](#errorreply).
"""


def render() -> str:
    """Return the whole page."""
    parts = [_INTRODUCTION, _subjects(), _headers(), _errors(), "## Contracts\n", *_modules()]
    return "\n".join(parts).rstrip() + "\n"


def _source(module: ModuleType) -> Path:
    return Path(inspect.getfile(module))


def _subjects() -> str:
    module, _ = docstrings.read(_source(subjects))
    names = {n: v for n, v in vars(subjects).items() if n in module.names and isinstance(v, str)}
    rows = [f"| `{value}` | {module.names[name]} |" for name, value in names.items()]
    text = module.text.replace("``", "`").replace("PING|INFO|STATS", "PING\\|INFO\\|STATS")
    return "\n".join(
        [
            "## Subjects\n",
            text,
            "\nNames beside the subjects:\n",
            "| name | what |",
            "|---|---|",
            *rows,
            "",
        ]
    )


def _headers() -> str:
    module, classes = docstrings.read(_source(headers))
    request = _request_headers()
    fields = classes["RequestContext"].names
    rows = [f"| `{name}` | request | {fields[field]} |" for name, field in request.items()]
    rows += [
        f"| `{getattr(headers, name)}` | reply | {text} |"
        for name, text in module.names.items()
        if name.isupper() and getattr(headers, name) not in request
    ]
    return "\n".join(["## Headers\n", "| header | of | meaning |", "|---|---|---|", *rows, ""])


def _request_headers() -> dict[str, str]:
    """Return header -> field of ``RequestContext``, by sending a context and looking what comes out."""
    fields = dataclasses.fields(headers.RequestContext)
    probes: dict[str, Any] = {
        field.name: 1000 + index if field.type is int else f"probe-{index}"
        for index, field in enumerate(fields)
    }
    by_value = {str(probe): name for name, probe in probes.items()}
    context = headers.RequestContext(**probes)
    return {header: by_value[value] for header, value in context.wire().items()}


def _errors() -> str:
    classes = [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, TrimtabError) and kind not in (TrimtabError, RemoteError)
    ]
    leaves = [kind for kind in classes if not kind.__subclasses__()]
    rows = [
        f"| `{kind.__name__}` | `{kind.code}` | {errors.STATUS[kind.code]} "
        f"| {'yes' if kind.retryable else 'no'} | {docstrings.one_line(kind.__doc__ or '')} |"
        for kind in sorted(leaves, key=lambda kind: (errors.STATUS[kind.code], kind.__name__))
    ]
    return "\n".join(
        [
            "## Errors\n",
            "The status is the header `Nats-Service-Error-Code` and the HTTP status. Retryable: the same request",
            "may succeed on another worker or a moment later.\n",
            "| error | code | status | retryable | meaning |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _modules() -> list[str]:
    parts: list[str] = []
    for module in modules():
        own, classes = docstrings.read(_source(module))
        defined = [vars(module)[name] for name in classes]
        kinds = [kind for kind in defined if kind in contracts().values()]
        enums = [kind for kind in defined if issubclass(kind, enum.Enum)]
        if not kinds:
            continue
        text = own.text if module is not errors else own.text.partition("\n")[0]
        parts.append(
            f"### `{module.__name__.removeprefix('trimtab.contracts.')}`\n\n{_prose(text)}\n"
        )
        parts += [_enumeration(kind) for kind in enums]
        parts += [_contract(kind, classes[kind.__name__]) for kind in kinds]
    return parts


def _enumeration(kind: type[enum.Enum]) -> str:
    values = ", ".join(f"`{member.value}`" for member in kind)
    return f"#### {kind.__name__}\n\n{_prose(inspect.getdoc(kind) or '')}\n\nOne of {values}.\n"


def _contract(kind: type[msgspec.Struct], documented: docstrings.Documented) -> str:
    rows = [
        f"| `{field.encode_name}` | {field_types.kind(field.type)} | {field_types.range_of(field.type)} "
        f"| {field_types.default_of(field)} | {documented.names.get(field.name, '')} |"
        for field in _fields(kind)
    ]
    table = ["| field | type | range | default | meaning |", "|---|---|---|---|---|", *rows]
    if not rows:
        table = ["No fields."]
    return "\n".join([f"#### {kind.__name__}\n", _prose(documented.text) + "\n", *table, ""])


def _fields(kind: type[msgspec.Struct]) -> tuple[mi.Field, ...]:
    """Return a contract's fields as msgspec enforces them."""
    return cast("mi.StructType", mi.type_info(kind)).fields


def _prose(text: str) -> str:
    return text.replace("``", "`")


def main() -> None:
    """Write the page."""
    PATH.write_text(render())


if __name__ == "__main__":
    main()
