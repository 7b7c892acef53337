"""The bytes on the wire never change by accident: a deployed peer still sends the old ones.

A deliberate change: ``python -m scripts.write_goldens``, and say in the commit who must be updated first.
"""

import pytest

from tests.contracts.catalogue import contracts, wire
from tests.contracts.examples import examples
from tests.contracts.golden import stored
from trimtab.contracts.message import decode

CONTRACTS = contracts()
EXAMPLES = examples()
GOLDEN = stored()


def test_every_contract_has_golden_bytes_and_every_golden_a_contract() -> None:
    assert sorted(GOLDEN) == sorted(CONTRACTS)


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_message_encodes_to_its_golden_bytes(name: str) -> None:
    assert wire(EXAMPLES[name]).hex() == GOLDEN[name].hex()


@pytest.mark.parametrize("name", CONTRACTS)
def test_golden_bytes_decode_to_the_message(name: str) -> None:
    assert decode(CONTRACTS[name], GOLDEN[name]) == EXAMPLES[name]


def test_the_release_hash_is_a_public_contract() -> None:
    release = EXAMPLES["Release"]

    assert release.hash == "5806b2abd357"  # type: ignore[attr-defined]
