"""A rebuild that is refused leaves no release behind, and what it took is told phase by phase."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from trimtab.cli.failure import Failure
from trimtab.cli.index.build import Asked
from trimtab.cli.index.rebuild import Limits, _Flow
from trimtab.cli.index.rebuilt import Rebuilt, show
from trimtab.cli.index.swapping import Swap
from trimtab.client import Client
from trimtab.contracts.errors import NoWorkers
from trimtab.evaluation.gates import at_least

BUILT: dict[str, Any] = {
    "component": "hybrid@2",
    "record": {
        "kind": "hnsw",
        "nlist": 0,
        "passages": 400,
        "dimension": 384,
        "least_norm": 1.0,
        "greatest_norm": 1.0,
    },
    "bytes": 1024,
    "hash": "ab" * 32,
    "dropped": [],
}


class Deleting(Swap):
    """Remembers which releases it was to delete."""

    deleted: list[str] = []

    async def delete(self, release: str) -> None:
        await asyncio.sleep(0)  # as an order is awaited
        self.deleted.append(release)


class Unheard(Swap):
    """Finds no controller when it is to delete a release."""

    async def delete(self, release: str) -> None:
        raise NoWorkers("controller")


class Unverified(_Flow):
    """A rebuild whose new index is loaded and then does not verify; or never loads."""

    loads = True

    async def _load(self, done: Rebuilt, load_s: float) -> None:
        done.release = "hybrid-2"
        if not self.loads:
            raise Failure("hybrid@2 is not loaded by retriever-1", "see its log")

    async def _prove(self, done: Rebuilt, folder: Path) -> None:
        done.gates.append(at_least("overlap@10", 0.5, 0.95))


class NeverLoaded(Unverified):
    """No retriever loads it in time."""

    loads = False


class Waiting(Unverified):
    """Waits for a retriever that never comes."""

    waits = asyncio.Event()

    async def _load(self, done: Rebuilt, load_s: float) -> None:
        done.release = "hybrid-2"
        self.waits.set()
        await asyncio.Event().wait()


class Shelf:
    """An artifact store that takes everything."""

    @classmethod
    async def open(cls, _connection: object) -> "Shelf":
        return cls()

    async def push(self, _folder: Path) -> None:
        return None


@pytest.fixture
def by(monkeypatch: pytest.MonkeyPatch) -> Deleting:
    monkeypatch.setattr("trimtab.cli.index.rebuild.ArtifactStore", Shelf)
    monkeypatch.setattr(Deleting, "deleted", [])
    return Deleting(_nobody(), "ana", "test")


def _nobody() -> Client:
    return Client(None)  # type: ignore[arg-type]  # these flows ask nobody


def flow(kind: type[_Flow], by: Swap, tmp_path: Path) -> _Flow:
    asked = Asked("docs", [], "", "public", [], "", tmp_path, None)
    return kind(_nobody(), asked, Limits(0.95, 0.5, 2.0), by, 7)


async def test_an_index_that_does_not_verify_leaves_no_release(
    by: Deleting, tmp_path: Path
) -> None:
    done = Rebuilt(BUILT, [])

    await flow(Unverified, by, tmp_path)._beside(done, 1.0)

    assert by.deleted == ["hybrid-2"]
    assert (done.ok, done.deleted) == (False, True)
    assert list(done.took_s) == ["store", "load", "verify"]


async def test_an_index_that_is_not_loaded_in_time_leaves_no_release(
    by: Deleting, tmp_path: Path
) -> None:
    with pytest.raises(Failure, match="is not loaded"):
        await flow(NeverLoaded, by, tmp_path)._beside(Rebuilt(BUILT, []), 1.0)

    assert by.deleted == ["hybrid-2"]


async def test_ctrl_c_while_it_waits_leaves_no_release(
    by: Deleting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Waiting, "waits", asyncio.Event())
    rebuilding = asyncio.create_task(flow(Waiting, by, tmp_path)._beside(Rebuilt(BUILT, []), 600.0))
    await Waiting.waits.wait()

    rebuilding.cancel()  # what asyncio.run does on the first Ctrl-C

    with pytest.raises(asyncio.CancelledError):
        await rebuilding
    assert by.deleted == ["hybrid-2"]


async def test_a_release_that_cannot_be_deleted_is_named_and_the_first_failure_is_kept(
    by: Deleting, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unheard = Unheard(by.client, by.actor, by.reason)
    never_loaded, unverified = Rebuilt(BUILT, []), Rebuilt(BUILT, [])

    with pytest.raises(Failure, match="is not loaded"):
        await flow(NeverLoaded, unheard, tmp_path)._beside(never_loaded, 1.0)
    await flow(Unverified, unheard, tmp_path)._beside(unverified, 1.0)

    assert capsys.readouterr().err.count("`trimtab release delete hybrid-2` deletes it") == 2
    assert (never_loaded.deleted, unverified.deleted) == (False, False)
    assert [gate.ok for gate in unverified.gates] == [False]


def test_the_last_lines_tell_what_it_took_and_what_a_rollback_leaves(
    capsys: pytest.CaptureFixture[str],
) -> None:
    done = Rebuilt(
        BUILT,
        [],
        state="swapped",
        release="hybrid-3",
        previous="hybrid-2",
        revision=9,
        spare="base",
        nprobe_set=8,
        took_s={"build": 3.25, "swap": 0.5},
    )

    show(done, as_json=False)

    said = capsys.readouterr().out
    assert "`trimtab rollback` returns to hybrid-2 (build 3.2 s, swap 0.5 s)" in said
    assert "nprobe 8 was set for every release" in said
    assert "`trimtab release delete base` frees" in said
    assert done.shape()["took_s"] == {"build": 3.25, "swap": 0.5}
