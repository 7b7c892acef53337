"""The shipped corpus is ingested once, and again when the interpreter or the choice of modules changes."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from trimtab.contracts.documents import Document, PutReply, Rejected
from trimtab.supervisor import shipped


class Taking:
    """Stores everything, or refuses one id."""

    def __init__(self, refused: str = "") -> None:
        self.refused = refused
        self.ids: list[str] = []

    async def put_documents(self, collection: str, documents: Sequence[Document]) -> PutReply:
        self.ids += [document.id for document in documents]
        rejected = [
            Rejected(index=i, id=d.id, reason="too long")
            for i, d in enumerate(documents)
            if d.id == self.refused
        ]
        return PutReply(
            collection=collection,
            new=len(documents) - len(rejected),
            unchanged=0,
            rejected=rejected,
            sequence=len(self.ids),
        )


async def test_a_whole_corpus_is_recognised_next_time(tmp_path: Path) -> None:
    marker, seen, client = tmp_path / "corpus.json", list[tuple[int, int]](), Taking()
    assert not shipped.is_whole(marker, ["shutil"], stored=1_000)

    report = await shipped.ingest(client, marker, ["shutil"], lambda d, t: seen.append((d, t)))

    assert "shutil.copytree" in client.ids
    assert seen[-1] == (report.new, report.new)
    assert shipped.is_whole(marker, ["shutil"], stored=report.new)


async def test_a_lost_store_another_choice_and_a_broken_marker_mean_again(tmp_path: Path) -> None:
    marker = tmp_path / "corpus.json"
    report = await shipped.ingest(Taking(), marker, ["shutil"], lambda *_: None)

    assert not shipped.is_whole(marker, ["shutil"], stored=report.new - 1)
    assert not shipped.is_whole(marker, ["shutil", "os"], stored=10_000)

    marker.write_text("{")

    assert not shipped.is_whole(marker, ["shutil"], stored=report.new)


async def test_a_refused_passage_leaves_no_marker(tmp_path: Path) -> None:
    marker = tmp_path / "corpus.json"

    with pytest.raises(shipped.CorpusRefused, match="1 passages refused, the first: too long"):
        await shipped.ingest(Taking("shutil.copytree"), marker, ["shutil"], lambda *_: None)

    assert not marker.exists()
