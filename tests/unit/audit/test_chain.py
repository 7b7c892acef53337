"""Deleting, editing, reordering and truncating the audit are each detected, and named."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from trimtab.audit.chain import entry_hash, sign, signed, verify
from trimtab.contracts.audit import GENESIS, AuditEntry

KEY = SigningKey(b"k" * 32)


def chain(length: int) -> list[AuditEntry]:
    entries: list[AuditEntry] = []
    previous = GENESIS
    for number in range(1, length + 1):
        entry = AuditEntry(
            number=number,
            previous=previous,
            at=float(number),
            actor="ana",
            via="c-0",
            action="kill",
            outcome="written",
            reason=f"drill {number}",
            operation=f"op-{number}",
            revision=number,
            epoch=1,
            diff=[],
            evidence=[],
        )
        entries.append(entry)
        previous = entry_hash(entry)
    return entries


def test_a_whole_chain_has_no_fault() -> None:
    entries = chain(20)

    assert verify(entries, [sign(KEY, 20, entry_hash(entries[-1]), 1.0)]) == []
    assert verify([], []) == []


@given(st.integers(1, 10))
def test_an_edit_of_any_entry_is_found(number: int) -> None:
    entries = chain(10)
    point = sign(KEY, 10, entry_hash(entries[-1]), 1.0)
    entries[number - 1] = msgspec.structs.replace(entries[number - 1], actor="mallory")

    assert verify(entries, [point])


@given(st.integers(1, 9))
def test_a_deleted_entry_is_found_without_any_checkpoint(number: int) -> None:
    entries = chain(10)
    del entries[number - 1]

    assert verify(entries, [])


@given(st.integers(0, 8))
def test_two_entries_that_changed_places_are_found(index: int) -> None:
    entries = chain(10)
    entries[index], entries[index + 1] = entries[index + 1], entries[index]

    assert verify(entries, [])


def test_a_truncated_tail_is_found_against_a_checkpoint() -> None:
    entries = chain(10)
    point = sign(KEY, 10, entry_hash(entries[-1]), 1.0)

    faults = verify(entries[:7], [point])

    assert verify(entries[:7], []) == []
    assert "truncated" in faults[0].problem


def test_a_rewritten_history_is_found_against_a_checkpoint_although_it_links_up() -> None:
    entries = chain(10)
    point = sign(KEY, 10, entry_hash(entries[-1]), 1.0)
    rewritten, previous = [], GENESIS
    for entry in entries:
        forged = msgspec.structs.replace(entry, previous=previous, actor="mallory")
        rewritten.append(forged)
        previous = entry_hash(forged)

    assert verify(rewritten, []) == []
    assert "edited" in verify(rewritten, [point])[0].problem


@pytest.mark.parametrize("field", ["number", "head", "at", "signature", "key"])
def test_a_forged_checkpoint_is_not_believed(field: str) -> None:
    point = sign(KEY, 3, "a" * 64, 1.0)
    other = sign(SigningKey(b"x" * 32), 4, "b" * 64, 2.0)

    forged = msgspec.structs.replace(point, **{field: getattr(other, field)})

    assert signed(point)
    assert not signed(forged)
