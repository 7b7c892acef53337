"""Counts of workers: what is accepted, and what the refusal says."""

import msgspec
import pytest

from trimtab.supervisor.options import UpOptions, parse_workers


def test_counts_are_read_by_service() -> None:
    assert parse_workers(["encoder=2", "mapper=3"]) == {"encoder": 2, "mapper": 3}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("encoders=2", "unknown service 'encoders'; known: controller, encoder"),
        ("encoder", "write encoder=N"),
        ("encoder=0", "from 1 to 64"),
        ("encoder=-1", "from 1 to 64"),
        ("encoder=many", "write encoder=N"),
        ("gateway=2", "its HTTP port cannot be shared"),
    ],
)
def test_a_wrong_count_is_refused_with_what_would_be_right(value: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_workers([value])


def test_a_service_without_a_count_runs_once() -> None:
    options = UpOptions(home="h", workers={"encoder": 2})

    assert (options.count("encoder"), options.count("mapper")) == (2, 1)


def test_options_reach_a_detached_supervisor_unchanged() -> None:
    options = UpOptions(home="h", nats_port=0, corpus_modules=("os",), workers={"encoder": 2})

    assert msgspec.json.decode(msgspec.json.encode(options), type=UpOptions) == options
