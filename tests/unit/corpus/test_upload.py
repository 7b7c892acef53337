"""Sending rows: within the server's limits, through busy spells, and past passages that are refused."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from trimtab.contracts.documents import Document, PutReply, Rejected
from trimtab.contracts.errors import (
    BusUnavailable,
    InvalidText,
    NoWorkers,
    Overloaded,
    RemoteError,
    TrimtabError,
)
from trimtab.corpus import upload as module
from trimtab.corpus.rows import BadRow, Row
from trimtab.corpus.upload import MAX_BATCH, MAX_BATCH_BYTES, Report, batches, upload


def row(number: int, text: str = "text") -> Row:
    return Row("docs.jsonl", number, Document(id=f"d{number}", text=text))


@dataclass
class Gateway:
    """Stores like the real one: counts by id and content, refuses what it is told to."""

    stored: dict[str, str] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()
    poison: frozenset[str] = frozenset()
    failures: list[TrimtabError] = field(default_factory=list)
    calls: int = 0

    async def put_documents(self, collection: str, documents: Sequence[Document]) -> PutReply:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        if any(d.id in self.poison for d in documents):
            raise RemoteError(InvalidText(0, "is blank").reply())
        rejected = [
            Rejected(index=index, id=d.id, reason="over the token budget")
            for index, d in enumerate(documents)
            if d.id in self.refused
        ]
        good = [d for d in documents if d.id not in self.refused]
        new = [d for d in good if self.stored.get(d.id) != d.text]
        self.stored |= {d.id: d.text for d in good}
        return PutReply(
            collection=collection,
            new=len(new),
            unchanged=len(good) - len(new),
            rejected=rejected,
            sequence=len(self.stored),
        )


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_WAIT_S", 0.0)


async def test_every_row_is_stored_once_and_sending_again_changes_nothing() -> None:
    gateway, first, second = Gateway(), Report("c"), Report("c")
    rows = [row(n) for n in range(300)]

    await upload(gateway, rows, first)
    await upload(gateway, rows, second)

    assert (first.new, first.unchanged, first.rejected) == (300, 0, [])
    assert (second.new, second.unchanged, second.rejected) == (0, 300, [])
    assert first.sequence == 300


async def test_bad_rows_and_refused_passages_are_named_by_line_and_the_rest_is_stored() -> None:
    gateway, report = Gateway(refused=frozenset({"d3"})), Report("c")
    rows: list[Row | BadRow] = [row(1), BadRow("docs.jsonl", 2, "not JSON"), row(3), row(4)]

    await upload(gateway, rows, report)

    assert report.new == 2
    assert report.rejected == [
        BadRow("docs.jsonl", 2, "not JSON"),
        BadRow("docs.jsonl", 3, "over the token budget"),
    ]


async def test_a_batch_that_is_refused_as_a_whole_is_narrowed_to_its_bad_passage() -> None:
    gateway, report = Gateway(poison=frozenset({"d7"})), Report("c")

    await upload(gateway, [row(n) for n in range(64)], report)

    assert report.new == 63
    assert [bad.line for bad in report.rejected] == [7]
    assert "is blank" in report.rejected[0].reason


async def test_a_busy_deployment_is_asked_again() -> None:
    busy = RemoteError(Overloaded("encoder", 8).reply())
    gateway, report = Gateway(failures=[busy, busy, NoWorkers("s")]), Report("c")

    await upload(gateway, [row(1)], report)

    assert report.new == 1
    assert gateway.calls == 4


async def test_a_deployment_that_stays_away_is_an_error_and_the_report_says_what_is_stored() -> (
    None
):
    class Leaving(Gateway):
        async def put_documents(self, collection: str, documents: Sequence[Document]) -> PutReply:
            if self.stored:
                raise BusUnavailable
            return await super().put_documents(collection, documents)

    report = Report("c")

    with pytest.raises(BusUnavailable):
        await upload(Leaving(), [row(n) for n in range(3 * MAX_BATCH)], report)

    assert report.new == MAX_BATCH


async def test_progress_adds_up_to_all_rows_bad_ones_included() -> None:
    settled: list[int] = []
    rows: list[Row | BadRow] = [*(row(n) for n in range(130)), BadRow("docs.jsonl", 131, "blank")]

    await upload(Gateway(refused=frozenset({"d5"})), rows, Report("c"), settled.append)

    assert sum(settled) == 131


def test_batches_keep_within_count_and_bytes_and_lose_nothing() -> None:
    rows = [row(n, "x" * (n * 700)) for n in range(1, 81)] + [row(n) for n in range(100, 300)]

    made = list(batches(rows))

    assert [r for batch in made for r in batch] == rows
    assert max(len(batch) for batch in made) == MAX_BATCH
    assert all(sum(len(r.document.text) for r in batch) <= MAX_BATCH_BYTES for batch in made)
    assert any(len(batch) < MAX_BATCH for batch in made[:-1])
