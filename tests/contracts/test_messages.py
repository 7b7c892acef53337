"""Every contract round-trips, refuses what it does not know, and cannot be changed."""

import contextlib

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contracts.catalogue import contracts, wire
from tests.contracts.examples import examples
from tests.contracts.strategies import contract
from trimtab.contracts.errors import InvalidMessage
from trimtab.contracts.message import decode

CONTRACTS = contracts()
EXAMPLES = examples()
WITH_FIELDS = {name: kind for name, kind in CONTRACTS.items() if kind.__struct_fields__}
every_contract = pytest.mark.parametrize("kind", CONTRACTS.values(), ids=CONTRACTS.keys())


def test_every_contract_has_a_hand_made_example() -> None:
    assert sorted(EXAMPLES) == sorted(CONTRACTS)


@every_contract
@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_message_decodes_to_what_was_encoded(
    kind: type[msgspec.Struct], data: st.DataObject
) -> None:
    value = data.draw(contract(kind))

    assert decode(kind, wire(value)) == value


@every_contract
def test_a_message_with_an_unknown_field_is_refused(kind: type[msgspec.Struct]) -> None:
    fields = msgspec.msgpack.decode(wire(EXAMPLES[kind.__name__]))

    with pytest.raises(InvalidMessage, match="unknown field `invented`"):
        decode(kind, msgspec.msgpack.encode({**fields, "invented": 1}))


@every_contract
def test_a_message_without_one_of_its_required_fields_is_refused(
    kind: type[msgspec.Struct],
) -> None:
    fields = msgspec.msgpack.decode(wire(EXAMPLES[kind.__name__]))
    required = [f.encode_name for f in msgspec.structs.fields(kind) if f.required]

    for name in required:
        without = {key: value for key, value in fields.items() if key != name}
        with pytest.raises(InvalidMessage, match=f"`{name}`"):
            decode(kind, msgspec.msgpack.encode(without))


@pytest.mark.parametrize(
    "name", ["EncodeRequest", "RetrieveRequest", "RerankRequest", "MapRequest"]
)
def test_what_a_gateway_does_not_use_is_not_sent_to_workers_that_may_not_know_it(name: str) -> None:
    kind, example = CONTRACTS[name], EXAMPLES[name]
    required = {f.name for f in msgspec.structs.fields(kind) if f.required}
    bare = kind(**{field: getattr(example, field) for field in required})

    assert set(msgspec.msgpack.decode(wire(bare))) == required


@every_contract
def test_a_message_cannot_be_changed(kind: type[msgspec.Struct]) -> None:
    value = EXAMPLES[kind.__name__]

    for name in kind.__struct_fields__:
        with pytest.raises(AttributeError, match="immutable"):
            setattr(value, name, None)


@pytest.mark.parametrize("kind", WITH_FIELDS.values(), ids=WITH_FIELDS.keys())
def test_a_message_can_be_built_by_keyword_only(kind: type[msgspec.Struct]) -> None:
    with pytest.raises(TypeError, match="positional"):
        kind("first")


@every_contract
@given(garbage=st.binary(max_size=64))
@settings(max_examples=50, deadline=None)
def test_garbage_bytes_never_raise_anything_but_an_invalid_message(
    kind: type[msgspec.Struct], garbage: bytes
) -> None:
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if msgspec.msgpack.decode(garbage) == {}:
            return  # an empty map, in any of its spellings: valid for contracts without required fields

    with pytest.raises(InvalidMessage, match=f"not a valid {kind.__name__}"):
        decode(kind, garbage)


@pytest.mark.parametrize("field", ["collection"])
@pytest.mark.parametrize("name", ["stdlib\n", "a b", "a.b", "*", ">", "../x", "", "A", "x" * 65])
def test_a_collection_name_is_always_one_safe_subject_token(field: str, name: str) -> None:
    body = msgspec.msgpack.encode({"text": "copy a tree", field: name})

    with pytest.raises(InvalidMessage, match=rf"\$\.{field}"):
        decode(CONTRACTS["SearchRequest"], body)


@pytest.mark.parametrize("component", ["mlp@1\n", "mlp", "mlp@", "@1", "mlp@1-2", "MLP@1", "m p@1"])
def test_a_component_that_is_not_name_at_version_is_refused(component: str) -> None:
    fields = msgspec.msgpack.decode(wire(EXAMPLES["Release"]))

    with pytest.raises(InvalidMessage, match=r"\$\.encode"):
        decode(CONTRACTS["Release"], msgspec.msgpack.encode({**fields, "encode": component}))
