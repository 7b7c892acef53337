"""A search of the sample is judged once, by the first choice among its candidates, for a while."""

from services.gateway.shown import Judged, Memory
from trimtab.contracts.headers import RequestContext

CONTEXT = RequestContext("r-1", "acme", 1, release="base", role="stable")
BEFORE, AFTER = ("a", "b", "c"), ("c", "a", "b")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def remembering(capacity: int = 4, clock: Clock | None = None) -> Memory:
    memory = Memory(capacity, 60.0, clock or Clock())
    memory.keep("k", BEFORE, AFTER, "mlp@1", CONTEXT)
    return memory


def test_both_orders_are_judged_by_the_chosen_passage() -> None:
    taken = remembering().take("k", "c")

    assert taken is not None
    shown, judged = taken
    assert (shown.component, shown.context) == ("mlp@1", CONTEXT)
    assert judged == Judged(before=1 / 3, after=1.0, rank=1)


def test_a_passage_below_rank_ten_counts_as_none() -> None:
    memory = Memory(4, 60.0, Clock())
    places = [str(number) for number in range(11)]
    memory.keep("k", places[::-1], places, "mlp@1", CONTEXT)

    taken = memory.take("k", "10")

    assert taken is not None
    assert taken[1] == Judged(before=1.0, after=0.0, rank=11)


def test_the_first_choice_counts_and_no_other() -> None:
    memory = remembering()

    assert memory.take("k", "a") is not None
    assert memory.take("k", "b") is None
    assert len(memory) == 0


def test_a_passage_that_was_no_candidate_is_no_choice_and_leaves_the_search() -> None:
    memory = remembering()

    assert memory.take("k", "elsewhere") is None
    assert memory.take("k", "a") is not None


def test_a_search_that_is_not_remembered_is_not_judged() -> None:
    assert remembering().take("other", "a") is None


def test_a_choice_that_comes_too_late_does_not_count() -> None:
    clock = Clock()
    memory = remembering(clock=clock)

    clock.now = 60.1

    assert memory.take("k", "a") is None


def test_the_memory_is_bounded_by_number_and_by_age() -> None:
    clock = Clock()
    memory = Memory(2, 60.0, clock)
    for number in range(5):
        memory.keep(str(number), BEFORE, AFTER, "mlp@1", CONTEXT)
    assert len(memory) == 2
    assert memory.take("2", "a") is None

    clock.now = 61.0
    memory.keep("new", BEFORE, AFTER, "mlp@1", CONTEXT)
    assert len(memory) == 1


def test_without_room_nothing_is_remembered() -> None:
    assert remembering(capacity=0).take("k", "a") is None
