"""The frozen message every contract extends, and its one wire form: msgpack, closed to unknown fields."""

from typing import Any, TypeVar

import msgspec

from trimtab.contracts.errors import InvalidMessage

CONTENT_TYPE = "application/msgpack"
"""Content type stated on every message that crosses the bus."""


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every contract: immutable, refuses fields it does not know.

    Subclasses say ``frozen=True, kw_only=True`` themselves: msgspec does not inherit the latter,
    and type checkers do not see the former. What gateways send to workers says ``omit_defaults=True``
    too: a field that a new gateway does not use is no unknown field to a worker of the version before.
    """


M = TypeVar("M")

_encoder = msgspec.msgpack.Encoder()
_decoders: dict[type, msgspec.msgpack.Decoder[Any]] = {}


def encode(message: Message) -> bytes:
    """Return the msgpack bytes of a contract."""
    return _encoder.encode(message)


def decode(kind: type[M], data: bytes) -> M:
    """Parse bytes as ``kind``.

    Raises:
        InvalidMessage: the bytes are not msgpack, or do not fit the contract; says which field.
    """
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    try:
        return decoder.decode(data)  # type: ignore[no-any-return]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidMessage(kind.__name__, str(error)) from None
