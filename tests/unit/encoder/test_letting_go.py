"""An encoder component that a release brought leaves nothing behind; that of the settings goes on as before."""

import pytest

from services.encoder.app import _Wiring
from services.encoder.cache import TextCache
from services.encoder.encoding import Encoder
from services.encoder.settings import EncoderSettings
from tests.unit.encoder.twin import Twin
from trimtab.contracts.errors import Draining
from trimtab.worker.sampler import Identity, Sampler
from trimtab.worker.service import Worker
from trimtab.worker.settings import DeploymentSettings


async def _nothing(_worker: Worker) -> None:
    return


async def test_what_is_let_go_computes_no_more_and_is_no_longer_told_of() -> None:
    settings, sampler = EncoderSettings(), Sampler(Identity("encoder", "e-1", "0", 0.0))
    worker = Worker("encoder", "A test's", DeploymentSettings(), settings, _nothing)
    wiring = _Wiring(settings)
    for reference, dimension in (("own@1", 8), ("brought@1", 16)):
        twin = Twin(dimension=dimension)
        made = Encoder(reference, "hash", twin, TextCache(10, 1 << 20), sampler)
        made.batcher.start()
        wiring.encoders.append(made)
        wiring.facts[reference] = {"dimension": dimension}
        worker.identity.facts.update({"dimension": dimension, f"dimension.{reference}": dimension})
    brought = wiring.encoders[1]

    await wiring.let_go(worker, "brought@1")

    assert [each.component for each in wiring.encoders] == ["own@1"]
    assert worker.identity.facts == {"dimension": 8, "dimension.own@1": 8}
    with pytest.raises(Draining):
        await brought.batcher.submit(([], False))  # type: ignore[arg-type]
    await wiring.unload(worker)
