"""What may serve must load; what is only offered is tried. Releases of these tests differ in their reranker."""

import pytest

from tests.unit.control.documents import canary, controls, state
from trimtab.contracts.errors import NotReady
from trimtab.telemetry import logs
from trimtab.worker.loading import Loading


class Shelf:
    """Loads everything but what is broken, and remembers the order."""

    def __init__(self, *broken: str) -> None:
        self.loaded: list[str] = []
        self._broken = broken

    async def load(self, component: str) -> None:
        if component in self._broken:
            raise NotReady(component)
        self.loaded.append(component)

    def loading(self) -> Loading:
        return Loading("rerank", self.load, self.loaded, logs.get("reranker", "r-0"))


RAMPING = controls(state("base", "next", "later", canary=canary("next", 500)))


async def test_what_may_serve_is_loaded_before_what_is_only_offered() -> None:
    shelf = Shelf()

    assert await shelf.loading().follow(RAMPING)
    assert shelf.loaded == ["mlp-base@1", "mlp-next@1", "mlp-later@1"]


async def test_what_is_loaded_is_not_loaded_again() -> None:
    shelf = Shelf()
    await shelf.loading().follow(RAMPING)

    assert not await shelf.loading().follow(RAMPING)
    assert len(shelf.loaded) == 3


async def test_a_canary_that_runs_and_cannot_be_loaded_is_refused() -> None:
    with pytest.raises(NotReady):
        await Shelf("mlp-next@1").loading().follow(RAMPING)


async def test_an_offer_that_cannot_be_loaded_costs_nobody_else_anything() -> None:
    shelf = Shelf("mlp-later@1")

    assert await shelf.loading().follow(RAMPING)
    assert shelf.loaded == ["mlp-base@1", "mlp-next@1"]
