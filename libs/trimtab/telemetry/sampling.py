"""Which requests are in a sample: decided by the request id alone, so that every process decides alike. Pure."""

import xxhash

_HASHES = 1 << 64


def sampled(request_id: str, share: float, purpose: str) -> bool:
    """Return whether a request is among ``share`` (0..1) of all.

    ``xxh3_64(purpose + NUL + request id) < share * 2^64``: the samples of two purposes are independent of each
    other, and of the buckets that a canary's weight fills.
    """
    return xxhash.xxh3_64_intdigest(f"{purpose}\0{request_id}".encode()) < share * _HASHES
