"""Passages kept in memory are those of the store."""

from collections.abc import Sequence

from services.retriever.passages.hitcache import HitCache
from trimtab.contracts.retrieve import Hit


class Shelf:
    """A store that counts what was read."""

    def __init__(self) -> None:
        self.texts = {slot: f"text {slot:03d}" for slot in range(100)}
        self.reads: list[list[int]] = []

    def read(self, slots: Sequence[int]) -> list[Hit]:
        self.reads.append(list(slots))
        return [
            Hit(
                id=f"p{slot}",
                article="a",
                title="",
                text=self.texts[slot],
                metadata={},
                tenant="public",
            )
            for slot in slots
        ]


def texts(hits: Sequence[Hit | None]) -> list[str]:
    return [hit.text for hit in hits if hit is not None]


def test_what_was_read_once_is_not_read_again() -> None:
    shelf = Shelf()
    cache = HitCache(shelf.read)

    first = cache.get([3, 1, 2])
    second = cache.get([2, 9, 3])

    assert texts(first) == ["text 003", "text 001", "text 002"]
    assert texts(second) == ["text 002", "text 009", "text 003"]
    assert shelf.reads == [[3, 1, 2], [9]]


def test_a_replaced_passage_is_read_anew() -> None:
    shelf = Shelf()
    cache = HitCache(shelf.read)
    cache.get([5, 6])
    shelf.texts[5] = "new"

    cache.forget([5, 77])

    assert texts(cache.get([5, 6])) == ["new", "text 006"]
    assert shelf.reads == [[5, 6], [5]]


def test_more_than_fits_pushes_the_oldest_out_and_is_answered_all_the_same() -> None:
    shelf = Shelf()
    cache = HitCache(shelf.read, capacity_chars=3 * len("text 000"))

    everything = cache.get(list(range(10)))
    again = cache.get([9, 0])

    assert texts(everything) == [f"text {slot:03d}" for slot in range(10)]
    assert texts(again) == ["text 009", "text 000"]
    assert shelf.reads == [list(range(10)), [0]]


def test_a_passage_that_is_gone_is_neither_returned_nor_kept() -> None:
    shelf = Shelf()
    gone = {4}
    cache = HitCache(
        lambda slots: [None if slot in gone else shelf.read([slot])[0] for slot in slots]
    )

    first = cache.get([3, 4, 5])
    gone.clear()
    second = cache.get([3, 4, 5])

    assert [hit and hit.id for hit in first] == ["p3", None, "p5"]
    assert [hit and hit.id for hit in second] == ["p3", "p4", "p5"]
    assert [slots for slots in shelf.reads if slots == [4]] == [[4]]
