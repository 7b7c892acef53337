"""Who sees which slots."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.retriever.passages.visibility import Visibility

TENANTS = ["public", "acme", "globex", "initech"]


@given(st.lists(st.sampled_from(TENANTS), max_size=60), st.sampled_from([*TENANTS, "nobody"]))
def test_a_tenant_sees_its_own_and_the_public_slots_and_no_other(
    owners: list[str], tenant: str
) -> None:
    visibility = Visibility()
    visibility.put(np.arange(len(owners), dtype=np.int64), owners)
    expected = [slot for slot, owner in enumerate(owners) if owner in (tenant, "public")]

    seen = visibility.of(tenant)

    assert seen.slots().tolist() == expected
    assert seen.count == len(expected)
    assert seen.everything == (len(expected) == len(owners))
    slots = np.arange(-3, len(owners) + 20, dtype=np.int64)
    assert slots[seen.contains(slots)].tolist() == expected


def test_a_change_is_seen_although_the_set_was_cached() -> None:
    visibility = Visibility()
    visibility.put(np.array([0, 1]), ["public", "acme"])
    assert visibility.of("acme").count == 2

    visibility.put(np.array([2]), ["acme"])
    visibility.remove(np.array([0]))

    assert visibility.of("acme").slots().tolist() == [1, 2]
    assert not visibility.of("acme").everything
    assert visibility.living == 2


def test_slots_left_out_belong_to_nobody() -> None:
    visibility = Visibility()

    visibility.put(np.array([5000]), ["public"])

    assert visibility.of("acme").slots().tolist() == [5000]
    assert not visibility.of("acme").everything


def test_more_tenants_than_the_cache_holds_get_right_sets() -> None:
    visibility = Visibility()
    owners = [f"tenant-{number}" for number in range(200)]
    visibility.put(np.arange(200, dtype=np.int64), owners)

    seen = [visibility.of(owner).slots().tolist() for owner in owners]

    assert seen == [[number] for number in range(200)]
