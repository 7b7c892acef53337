"""A contract's field as words: its type and its range, from what msgspec really enforces."""

import enum
from typing import Any

import msgspec
import msgspec.inspect as mi

_PLAIN = {
    mi.BoolType: "bool",
    mi.BytesType: "bytes",
    mi.FloatType: "float",
    mi.IntType: "int",
    mi.NoneType: "null",
    mi.StrType: "str",
}


def kind(info: mi.Type) -> str:
    """Return the type as a reader of another language would want it."""
    match info:
        case mi.UnionType():
            return " or ".join(kind(member) for member in info.types)
        case mi.ListType():
            return f"list of {kind(info.item_type)}"
        case mi.DictType():
            return f"map of {kind(info.key_type)} to {kind(info.value_type)}"
        case mi.StructType() | mi.EnumType():
            return f"[{info.cls.__name__}](#{info.cls.__name__.lower()})"
        case mi.LiteralType():
            return "str"
        case _:
            return _PLAIN[type(info)]


def range_of(info: mi.Type) -> str:
    """Return the range that is enforced, or an empty string when every value of the type is allowed."""
    match info:
        case mi.UnionType():
            return ", ".join(filter(None, (range_of(member) for member in info.types)))
        case mi.ListType():
            return "; ".join(
                filter(None, (_length(info, " items"), _each(range_of(info.item_type))))
            )
        case mi.LiteralType():
            return " \\| ".join(f"`{value}`" for value in info.values)
        case mi.StrType():
            pattern = f"`{info.pattern}`".replace("|", "\\|") if info.pattern else ""
            return "; ".join(filter(None, (_length(info, " characters"), pattern)))
        case mi.IntType() | mi.FloatType():
            return _bounds(info)
        case _:
            return ""


def default_of(field: mi.Field) -> str:
    """Return the default as JSON, or ``required``."""
    if field.required:
        return "required"
    value = field.default
    if value is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    if isinstance(value, enum.Enum):
        value = value.value
    return f"`{msgspec.json.encode(value).decode()}`"


def _each(inner: str) -> str:
    return f"each {inner}" if inner else ""


def _length(info: Any, unit: str) -> str:
    low, high = info.min_length, info.max_length
    if low is None and high is None:
        return ""
    if high is None:
        return f"at least {low}{unit}"
    return f"{low}-{high}{unit}" if low else f"at most {high}{unit}"


def _bounds(info: Any) -> str:
    pairs = ((">=", info.ge), (">", info.gt), ("<=", info.le), ("<", info.lt))
    return ", ".join(f"{sign} {value}" for sign, value in pairs if value is not None)
