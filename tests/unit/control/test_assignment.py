"""The assignment is a public contract: golden vectors, nested ranges, equal groups."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.control.assignment import BUCKETS, Role, bucket_of, role_of, unit_of

UNITS = st.text(min_size=1, max_size=40)
WEIGHTS = st.integers(0, BUCKETS)
BUCKET = st.integers(0, BUCKETS - 1)


@pytest.mark.parametrize(
    ("salt", "unit", "bucket"),
    [
        pytest.param("", "", 1883, id="empty"),
        pytest.param("salt", "acme\0user-1", 4502, id="tenant and key"),
        pytest.param("next/1700000000.000", "0123456789abcdef", 1351, id="request id"),
        pytest.param("salz", "mäuse", 3829, id="utf-8"),
    ],
)
def test_the_bucket_of_a_unit_is_the_same_for_ever(salt: str, unit: str, bucket: int) -> None:
    assert bucket_of(salt, unit) == bucket


@given(BUCKET, WEIGHTS, WEIGHTS)
def test_raising_the_weight_moves_nobody_out_of_the_canary(bucket: int, a: int, b: int) -> None:
    low, high = sorted((a, b))

    if role_of(bucket, low) is Role.CANARY:
        assert role_of(bucket, high) is Role.CANARY


@given(st.integers(0, BUCKETS // 2))
def test_the_control_group_is_as_large_as_the_canary(weight: int) -> None:
    roles = [role_of(bucket, weight) for bucket in range(BUCKETS)]

    assert roles.count(Role.CANARY) == roles.count(Role.CONTROL) == weight


def test_at_full_weight_everybody_is_canary() -> None:
    assert {role_of(bucket, BUCKETS) for bucket in range(BUCKETS)} == {Role.CANARY}


def test_at_zero_weight_nobody_is() -> None:
    assert {role_of(bucket, 0) for bucket in range(BUCKETS)} == {Role.STABLE}


@given(UNITS, UNITS)
def test_a_caller_with_a_key_is_one_unit_whatever_the_request(tenant: str, key: str) -> None:
    assert unit_of(tenant, key, "r-1") == unit_of(tenant, key, "r-2")


def test_the_measured_share_lies_within_binomial_bounds() -> None:
    n, weight = 100_000, 500
    share = sum(role_of(bucket_of("s", f"u-{i}"), weight) is Role.CANARY for i in range(n)) / n

    sigma = (0.05 * 0.95 / n) ** 0.5
    assert abs(share - 0.05) < 4 * sigma
