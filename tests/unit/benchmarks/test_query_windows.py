"""Next-passage retrieval leaves the window out, and copies of the right answer neither help nor harm."""

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.query_models import Compared, table
from benchmarks.query_windows import Found, Passages, search
from services.retriever.querymodel.model import Vectors
from services.retriever.querymodel.windows import Place, Windows, part_of, windows_of


def articles(part: str, count: int) -> list[str]:
    names = (f"article-{number}" for number in range(1000))
    return [name for name in names if part_of(name) == part][:count]


def passages(texts: list[int] | None = None) -> Passages:
    """Two test articles of seven passages, each of which is nearest to the ones beside it."""
    places = [Place(name, seq) for name in articles("test", 2) for seq in range(7)]
    angles = np.linspace(0.0, 2.0, 14)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    numbers = np.array(range(14) if texts is None else texts, dtype=np.int64)
    return Passages(places, numbers, numbers, vectors, "encoder@1")


def last(window: Vectors) -> Vectors:
    row: NDArray[np.float32] = window[-1]
    return row


def test_the_windows_own_passages_stand_in_nobodys_way() -> None:
    found = search(passages(), passages().windows("test"), last)

    assert found.ranks.tolist() == [1, 1, 1, 1]
    assert found.cosines == pytest.approx(np.full(4, np.cos(2.0 / 13)), abs=1e-6)


def test_a_nearer_passage_counts_and_a_copy_of_the_answer_does_not() -> None:
    def far(window: Vectors) -> Vectors:
        return -last(window)

    made = passages()
    one = Windows(made.windows("test").rows[:1], ["a"])

    assert search(made, one, far).ranks.tolist() == [9]  # all but the window and the answer
    copies = passages([*range(12), 5, 5])
    assert search(copies, one, far).ranks.tolist() == [7]


def test_a_next_passage_that_was_read_already_is_no_question() -> None:
    texts = list(range(14))
    texts[5] = texts[2]

    kept = passages(texts).windows("test")

    assert len(windows_of(passages().places).part("test").rows) == 4
    assert [row[5] for row in kept.rows.tolist()] == [6, 12, 13]


def test_a_window_with_a_text_that_training_may_have_seen_is_no_question() -> None:
    made = passages()
    (known,) = articles("train", 1)
    places = [*made.places, Place(known, 0)]
    texts = np.arange(15, dtype=np.int64)
    bodies = np.array([*range(14), 13], dtype=np.int64)  # the last passage, under another title
    vectors = np.concatenate([made.vectors, made.vectors[:1]])

    kept = Passages(places, texts, bodies, vectors, "encoder@1").windows("test")

    assert [row[5] for row in kept.rows.tolist()] == [5, 6, 12]


def test_the_table_gives_every_difference_to_both_baselines() -> None:
    windows = passages().windows("test")
    ranks = np.array([1, 2, 6, 60])
    found = {
        name: Found(ranks + shift, np.full(4, 0.5))
        for name, shift in (("last_vec", 0), ("mean", 1), ("amn_v0", 2))
    }
    lines = table(Compared(windows, found, {name: [1.0] for name in found})).splitlines()

    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        "last_vec",
        "mean",
        "mean - last_vec",
        "amn_v0",
        "amn_v0 - last_vec",
        "amn_v0 - mean",
    ]
    assert lines[2].split("|")[2:6] == [" 25.00 ", " 50.00 ", " 41.67 ", " 75.00 "]
    assert "-25.00 [" in lines[4]
