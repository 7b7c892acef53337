"""What a built index must keep to, which version it gets, and what the builder is told."""

from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.control.documents import canary, state
from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import Failure
from trimtab.cli.index import built, making
from trimtab.cli.index.swapping import refuse_swap
from trimtab.contracts.control import Freeze, Phase
from trimtab.contracts.errors import InvalidCommand

GOOD: dict[str, Any] = {
    "component": "hybrid@2",
    "record": {"nlist": 3, "imbalance": 1.2},
    "lists": [40, 30, 20],
    "hottest": 1.3,
    "norms": {"beyond": 0},
    "overlap": {"queries": 60, "mean": 0.97, "min": 0.7},
    "losses": {"R@5": 0.004, "Contain@50": 0.0, "R@1": 0.3},
    "judged": 60,
}


def failing(**changes: Any) -> list[str]:
    gates = built.gates({**GOOD, **changes}, 0.95, 0.5, 2.0)
    return [gate.name for gate in gates if not gate.ok]


def test_a_good_index_passes() -> None:
    assert failing() == []


@pytest.mark.parametrize(
    ("changes", "gate"),
    [
        ({"norms": {"beyond": 1}}, "vectors not of unit length"),
        ({"record": {"nlist": 3, "imbalance": 2.1}}, "imbalance of the lists"),
        ({"hottest": 10.5}, "longest list, times the mean"),
        ({"overlap": {"queries": 60, "mean": 0.94, "min": 0.1}}, "overlap@10"),
        ({"losses": {"R@5": 0.006, "Contain@50": 0.0}}, "loss of R@5"),
        ({"losses": {"R@5": 0.0, "Contain@50": 0.02}}, "loss of Contain@50"),
    ],
)
def test_each_fault_fails_its_own_gate(changes: dict[str, Any], gate: str) -> None:
    assert failing(**changes) == [gate]


def test_too_few_held_out_queries_judge_nothing() -> None:
    few = {"queries": 19, "mean": 0.1, "min": 0.0}

    assert failing(overlap=few) == failing(overlap=None) == []


def test_a_kind_without_lists_is_not_judged_by_them() -> None:
    assert failing(record={"nlist": 0, "imbalance": 0.0}, lists=[], hottest=0.0) == []


def test_the_next_version_is_one_more_and_one_without_a_number_must_be_named() -> None:
    assert making.next_version("hybrid@9") == "hybrid@10"
    with pytest.raises(Failure, match="no numbered version"):
        making.next_version("hybrid@2026a")


def test_the_builder_hears_what_was_given_and_nothing_else() -> None:
    assert making.words() == ["--seed", "7"]
    assert making.words(kind="ivf_pq", opq=False, pq_parts=48, nlist_per_sqrt=0.5, seed=1) == [
        *("--kind", "ivf_pq", "--nlist-per-sqrt", "0.5", "--pq-parts", "48"),
        *("--opq", "off", "--seed", "1"),
    ]
    for kind in ("tree", "flat"):
        with pytest.raises(Failure, match="no kind of index") as refused:
            making.words(kind=kind)
        assert refused.value.code is ExitCode.USAGE


@pytest.mark.parametrize(
    ("kind", "given", "word"),
    [
        ("hnsw", {"nlist": 8}, "--nlist"),
        ("hnsw", {"restarts": 2}, "--restarts"),
        ("hnsw", {"pq_parts": 48, "opq": True}, "--pq-parts, --opq"),
        ("ivf", {"hnsw_m": 16}, "--hnsw-m"),
        ("ivf", {"pq_bits": 8}, "--pq-bits"),
        ("ivf_pq", {"ef_search": 64}, "--ef-search"),
    ],
)
def test_an_option_of_another_kind_is_a_wrong_command_line(
    kind: str, given: dict[str, Any], word: str
) -> None:
    with pytest.raises(Failure, match=f"{word} means nothing to {kind}") as refused:
        making.words(kind=kind, **given)
    assert refused.value.code is ExitCode.USAGE


def test_nothing_is_swapped_in_beside_another_canary_or_while_automation_is_frozen() -> None:
    frozen = replace(state(), freeze=Freeze(actor="ana", reason="drill", at=1.0))

    refuse_swap(state("base", "next", canary=canary("next", 0, Phase.ABORTED)))
    with pytest.raises(InvalidCommand, match="next is being ramped"):
        refuse_swap(state("base", "next", canary=canary("next", 0, Phase.PAUSED)))
    with pytest.raises(InvalidCommand, match="frozen by ana"):
        refuse_swap(frozen)


def test_fewer_than_twenty_held_out_queries_leave_an_index_unjudged() -> None:
    assert built.unjudged(GOOD) == ""
    assert built.unjudged({**GOOD, "overlap": None}).startswith("0 queries are held out")
    assert built.unjudged({**GOOD, "overlap": {"queries": 19}}).startswith("19 queries")
