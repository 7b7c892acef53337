"""Which role a request plays: a public contract with golden vectors, computed once, at the edge. Pure.

``bucket = xxh3_64(salt + NUL + unit) mod 10000``. The canary has the lowest buckets, the concurrent
control group of the same size the highest, so raising the weight moves nobody out of the canary and
the canary is always compared with as many requests of the same time.
"""

from enum import StrEnum

import xxhash

BUCKETS = 10_000
"""One bucket is one basis point."""


class Role(StrEnum):
    """What a request's release is to the rollout."""

    STABLE = "stable"
    CANARY = "canary"
    CONTROL = "control"


def unit_of(tenant: str, key: str, request_id: str) -> str:
    """Return what is hashed: the tenant with the caller's key, else the request itself."""
    return f"{tenant}\0{key}" if key else request_id


def bucket_of(salt: str, unit: str) -> int:
    """Return the bucket of a unit, 0-9999; the same for ever for the same salt and unit."""
    return xxhash.xxh3_64_intdigest(f"{salt}\0{unit}".encode()) % BUCKETS


def role_of(bucket: int, weight_bp: int) -> Role:
    """Return the role of a bucket at a canary weight of ``weight_bp``, 0-10000.

    At a weight above half the control group shrinks to what is left.
    """
    if bucket < weight_bp:
        return Role.CANARY
    control = min(weight_bp, BUCKETS - weight_bp)
    return Role.CONTROL if bucket >= BUCKETS - control else Role.STABLE
