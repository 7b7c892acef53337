"""A worker's memory is measured against its own, once it had settled."""

import msgspec
import pytest

from services.controller.memory import SETTLED_S, Memory
from trimtab.worker.sampler import Identity, Sampler


def heard(memory: Memory, instance: str, at: float, rss: int, components: str = "a@1") -> None:
    sample = Sampler(Identity("mapper", instance, "1", 0.0)).take(0)
    memory.hear(
        msgspec.structs.replace(
            sample, started_at=0.0, at=at, rss_bytes=rss, components={components: "x"}
        )
    )


def test_the_worker_that_grew_most_counts_once_it_had_settled() -> None:
    memory = Memory()
    heard(memory, "young", SETTLED_S - 1, 10)
    young = memory.growth(SETTLED_S)
    for instance, before, after in (("a", 100, 110), ("b", 200, 260)):
        heard(memory, instance, SETTLED_S, before)
        heard(memory, instance, SETTLED_S + 100, after)

    assert young is None
    assert memory.growth(SETTLED_S + 101) == pytest.approx(0.3)


def test_what_a_newly_loaded_component_takes_is_no_leak_and_who_is_gone_leaks_nothing() -> None:
    memory = Memory()
    heard(memory, "a", SETTLED_S, 100)
    heard(memory, "a", SETTLED_S + 1, 200, components="b@1")

    assert memory.growth(SETTLED_S + 2) == 0.0
    assert memory.growth(SETTLED_S + 60) is None
