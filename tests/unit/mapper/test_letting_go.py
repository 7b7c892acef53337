"""A mapper no longer speaks of a component that it let go."""

from pathlib import Path

from services.mapper.app import Desk, _serve
from services.mapper.definitions.definitions import load_definitions
from services.mapper.engines.served import Served, head
from services.mapper.inquiry import Inquiry
from services.mapper.mappers import Mappers
from services.mapper.models import Models
from services.mapper.opener import Opener
from services.mapper.recording import Recorder
from services.mapper.settings import MapperSettings
from services.mapper.troubles import Troubles
from tests.unit.mapper.bundled import pets
from tests.unit.mapper.shipped import component, taxonomy
from trimtab.telemetry.metrics import REGISTRY
from trimtab.worker.service import Worker
from trimtab.worker.settings import DeploymentSettings


async def _nothing(_worker: Worker) -> None:
    return


def desk(settings: MapperSettings) -> Desk:
    own = load_definitions(settings.taxonomy, settings.detectors, settings.frameworks)
    worker = Worker("mapper", "A test's", DeploymentSettings(), settings, _nothing)
    opener = Opener(worker, settings, own)
    return Desk(opener, Recorder(), Troubles(worker), Inquiry(worker))


def opened(asked: Desk) -> Served:
    """A model that is open, as that of a component is."""
    worker, settings = asked.opener.worker, asked.opener.settings
    served = head(component(), taxonomy(), worker.log)
    models = Models(worker, settings, taxonomy(), [served])
    models.publish()
    asked.opener.models.append(models)
    return served


def circuit_told() -> float | None:
    return REGISTRY.get_sample_value("mapper_circuit_open", {"component": component().reference})


async def test_facts_are_those_of_the_mappers_that_are_left(tmp_path: Path) -> None:
    asked = desk(MapperSettings())
    facts = asked.opener.worker.identity.facts
    pets(tmp_path)
    small = load_definitions(tmp_path / "pets.yaml", tmp_path / "kennel", None)
    _serve(asked, "pets@1", Mappers.one(asked.opener.mapper(small, None)))
    alone = dict(facts)
    _serve(asked, "safety@1", Mappers.one(asked.opener.mapper(asked.opener.own, opened(asked))))
    both = dict(facts)

    await asked.forget("safety@1")

    assert both["taxonomy"] != alone["taxonomy"]
    assert facts == alone


async def test_the_gauge_tells_of_no_circuit_of_a_model_that_was_let_go() -> None:
    asked = desk(MapperSettings())
    for reference in ("one@1", "other@1"):
        _serve(asked, reference, Mappers.one(asked.opener.mapper(asked.opener.own, opened(asked))))

    await asked.forget("other@1")
    while_the_adapter_is_open = circuit_told()
    await asked.forget("one@1")

    assert (while_the_adapter_is_open, circuit_told()) == (0.0, None)
