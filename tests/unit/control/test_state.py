"""A process obeys the newest revision it has seen, and a release is what its content says."""

import pytest

from trimtab.contracts.component import ControlState, Release
from trimtab.contracts.errors import NotReady
from trimtab.control.state import Controls, StateReference


def release(name: str, rerank: str | None = "mlp-full@1") -> Release:
    return Release(
        name=name,
        encode="minilm-int8@1",
        retrieve="hybrid@1",
        rerank=rerank,
        map="safety-head@1",
        namespace="single_vector.minilm.384.v1",
    )


def controls(revision: int, name: str) -> Controls:
    state = ControlState(
        operation="op", stable=name, releases={name: release(name)}, actor="t", reason="t"
    )
    return Controls(revision, state)


def test_an_older_or_repeated_revision_changes_nothing() -> None:
    reference = StateReference()

    assert reference.apply(controls(5, "five"))
    assert not reference.apply(controls(5, "again"))
    assert not reference.apply(controls(4, "four"))

    assert reference.current.release.name == "five"


def test_a_request_that_holds_the_controls_is_not_split_by_a_newer_revision() -> None:
    reference = StateReference()
    reference.apply(controls(1, "one"))
    held = reference.current

    reference.apply(controls(2, "two"))

    assert held.release.name == "one"
    assert reference.current.release.name == "two"


def test_before_the_first_state_nothing_is_served() -> None:
    with pytest.raises(NotReady):
        _ = StateReference().current


def test_the_hash_of_a_release_is_its_content() -> None:
    assert release("a").hash == release("a").hash
    assert release("a").hash != release("a", rerank=None).hash
