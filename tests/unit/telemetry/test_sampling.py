"""A sample is a fixed share of the request ids, the same in every process, and another one per purpose."""

import pytest

from trimtab.telemetry.sampling import sampled

IDS = [f"request-{number}" for number in range(20_000)]


def share_of(share: float, purpose: str = "explain") -> set[str]:
    return {each for each in IDS if sampled(each, share, purpose)}


@pytest.mark.parametrize("share", [0.001, 0.01, 0.25, 0.9])
def test_about_the_share_is_in_the_sample(share: float) -> None:
    expected = share * len(IDS)

    # Six standard deviations of a binomial: these ids are always the same.
    assert abs(len(share_of(share)) - expected) < 6 * (expected * (1 - share)) ** 0.5


def test_nothing_and_everything_are_shares_too() -> None:
    assert share_of(0.0) == set()
    assert share_of(1.0) == set(IDS)


def test_a_greater_share_keeps_what_a_smaller_one_had() -> None:
    assert share_of(0.01) < share_of(0.1) < share_of(0.5)


def test_two_purposes_have_samples_that_know_nothing_of_each_other() -> None:
    one, other = share_of(0.1), share_of(0.1, "another")

    assert 100 < len(one & other) < 300  # 1 % of 20,000 is 200


def test_the_sample_is_a_public_contract() -> None:
    first = [each for each in IDS if sampled(each, 0.001, "explain")][:3]

    assert first == ["request-316", "request-1863", "request-1887"]
