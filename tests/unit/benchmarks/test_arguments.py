"""Every benchmark takes the same options, and its report says how to run it again."""

from pathlib import Path

import pytest

from benchmarks.arguments import QUICK_REQUESTS, QUICK_ROUNDS, read


def test_defaults_are_the_benchmarks_own() -> None:
    given = read("bus_hop", None, rounds=7, requests=1500, argv=[])

    assert (given.rounds, given.requests, given.quick, given.json) == (7, 1500, False, None)
    assert given.command == "python -m benchmarks.bus_hop"


def test_quick_never_measures_more_than_was_asked_for() -> None:
    quick = read("x", None, rounds=7, requests=1500, argv=["--quick"])
    less = read("x", None, rounds=7, requests=1500, argv=["--quick", "--requests", "10"])

    assert (quick.rounds, quick.requests) == (QUICK_ROUNDS, QUICK_REQUESTS)
    assert less.requests == 10


@pytest.mark.parametrize("json", [["--json", "some/file"], ["--json=some/file"]])
def test_the_command_leaves_out_where_the_report_went(json: list[str]) -> None:
    given = read("x", None, rounds=7, requests=9, argv=["--rounds", "3", *json])

    assert given.json == Path("some/file")
    assert given.command == "python -m benchmarks.x --rounds 3"


def test_no_rounds_are_refused() -> None:
    with pytest.raises(SystemExit):
        read("x", None, rounds=7, requests=9, argv=["--rounds", "0"])
