"""What ``/health`` says of control documents and workers' samples."""

import re

import msgspec
import pytest

from services.gateway.http.health import Health, aggregate
from services.gateway.http.inforce import InForce, SwitchThrown, in_force
from tests.architecture.tree import ROOT
from tests.unit.control import documents
from tests.unit.controller.records import sample
from trimtab.contracts.control import ControlState, Kill, Phase, Setting, Switch
from trimtab.contracts.mapping import MappingMode
from trimtab.contracts.retrieve import LAST_VEC
from trimtab.contracts.samples import Sample

NOW = 1_000.0
ALL = {
    "encode": "minilm-int8@1",
    "retrieve": "hybrid@1",
    "rerank": "mlp-base@1",
    "map": "safety-head@1",
}


def told(
    *kills: Kill, state: ControlState | None = None, leased: bool = True, samples: int = 1
) -> InForce:
    controls = documents.controls(state or documents.state(), *kills)
    return in_force(controls, [retriever("r-0", stdlib=1)] * samples, now=NOW, leased=leased)


def retriever(instance: str, nprobe: int = 32, revision: int = 1, **collections: int) -> Sample:
    facts: dict[str, float | int | str] = {
        "passages": sum(collections.values()),
        "nprobe.hybrid@1": nprobe,
        **{f"passages.{name}": size for name, size in collections.items()},
    }
    return msgspec.structs.replace(
        sample(NOW), service="retriever", instance=instance, facts=facts, revision=revision
    )


def health(*samples: Sample, state: ControlState | None = None) -> Health:
    controls = documents.controls(state or documents.state(), revision=7)
    return aggregate(samples, controls, "1", now=NOW, leased=True)


def set_to(value: int, until: float | None = None) -> Setting:
    return Setting(value=value, actor="test", reason="test", expires_at=until)


def ramped(phase: Phase = Phase.RUNNING) -> ControlState:
    canary = msgspec.structs.replace(
        documents.canary("next", 500, phase), policy="retriever-v0", step=1
    )
    return documents.state("base", "next", canary=canary)


def test_without_orders_the_release_is_what_is_in_force() -> None:
    found = told()

    assert (found.pipeline, found.mapper_mode) == ("open", MappingMode.HYBRID)
    assert (found.stable.release, found.stable.components) == ("base", ALL)
    assert (found.stable.reranker, found.stable.retriever_impl) == ("on", LAST_VEC)
    assert (found.canary, found.switches) == (None, [])


def test_a_reranker_that_is_switched_off_is_not_named_as_one_that_serves() -> None:
    found = told(documents.kill(Switch.RERANKER, "off"))

    assert found.stable.reranker == "off"
    assert set(found.stable.components) == {"encode", "retrieve", "map"}


def test_a_release_without_a_reranker_has_none_on() -> None:
    state = documents.state()
    bare = {"base": documents.release("base", rerank=None)}

    assert told(state=msgspec.structs.replace(state, releases=bare)).stable.reranker == "off"


@pytest.mark.parametrize(
    ("switch", "value", "field", "shown"),
    [
        (Switch.PIPELINE, "closed", "pipeline", "closed"),
        (Switch.MAPPER_MODE, "rules_only", "mapper_mode", MappingMode.RULES_ONLY),
    ],
)
def test_a_switch_shows_until_it_expires(
    switch: Switch, value: str, field: str, shown: str
) -> None:
    during = told(documents.kill(switch, value, until=NOW + 1))
    after = told(documents.kill(switch, value, until=NOW))

    assert getattr(during, field) == shown
    assert during.switches == [
        SwitchThrown(switch=switch.value, value=value, everybody=True, expires_at=NOW + 1)
    ]
    assert after == told()


def test_the_query_model_of_the_switch_wins_over_that_of_the_release() -> None:
    state = documents.state()
    released = {"base": msgspec.structs.replace(state.releases["base"], settings={"retriever.impl": "amn_v0"})}  # fmt: skip
    state = msgspec.structs.replace(state, releases=released)

    assert told(state=state).stable.retriever_impl == "amn_v0"
    thrown = documents.kill(Switch.RETRIEVER_IMPL, "mean")
    assert told(thrown, state=state).stable.retriever_impl == "mean"


def test_one_tenants_order_changes_nothing_for_everybody_and_the_tenant_is_not_named() -> None:
    found = told(documents.kill(Switch.RERANKER, "off", tenant="acme"))

    assert found.stable.reranker == "on"
    assert [thrown.everybody for thrown in found.switches] == [False]
    assert b"acme" not in msgspec.json.encode(found)


def test_nprobe_is_the_operators_else_the_releases_else_the_components_else_unknown() -> None:
    state = documents.state()
    released = {"base": documents.release("base", settings={"retriever.nprobe": 16})}
    release = msgspec.structs.replace(state, releases=released)
    operator = msgspec.structs.replace(release, settings={"retriever.nprobe": set_to(4)})
    over = msgspec.structs.replace(release, settings={"retriever.nprobe": set_to(4, until=NOW)})

    assert told(samples=0).stable.nprobe is None
    assert told().stable.nprobe == 32
    assert told(state=release).stable.nprobe == 16
    assert told(state=operator).stable.nprobe == 4
    assert told(state=over).stable.nprobe == 16


@pytest.mark.parametrize("phase", list(Phase))
def test_a_canary_shows_while_its_rollout_has_not_ended(phase: Phase) -> None:
    canary = told(state=ramped(phase)).canary

    if phase in (Phase.PROMOTED, Phase.ROLLED_BACK, Phase.ABORTED):
        assert canary is None
        return
    assert canary is not None
    assert (canary.release, canary.policy, canary.phase) == ("next", "retriever-v0", phase.value)
    assert (canary.weight_bp, canary.step) == (500, 2)
    assert canary.components["rerank"] == "mlp-next@1"


def test_a_canary_without_a_lease_is_told_with_the_weight_that_it_gets() -> None:
    canary = told(state=ramped(), leased=False).canary

    assert canary is not None
    assert canary.weight_bp == 0


def test_a_banned_release_gives_way_to_the_one_before_it() -> None:
    state = msgspec.structs.replace(documents.state("base", "before"), previous="before")

    assert told(documents.kill(Switch.RELEASE, "base"), state=state).stable.release == "before"


def test_each_collection_counts_as_many_as_the_retriever_that_holds_most_of_it() -> None:
    found = health(retriever("r-0", stdlib=3, notes=9), retriever("r-1", stdlib=5))

    assert found.collections == {"notes": 9, "stdlib": 5}
    assert found.index_size == 12


def test_every_worker_is_told_with_the_revision_that_it_obeys_beside_the_newest() -> None:
    found = health(retriever("r-0", revision=7), retriever("r-1", revision=6))

    assert found.revision == 7
    assert [worker.revision for worker in found.services["retriever"]] == [7, 6]


def test_before_the_first_control_state_nothing_is_in_force_and_the_pipeline_is_down() -> None:
    found = aggregate([], None, "1", now=NOW, leased=False)

    assert (found.in_force, found.status, found.components) == (None, "down", {})


def test_the_page_shows_an_answer_as_it_is() -> None:
    page = (ROOT / "docs" / "health.md").read_text()
    [shown] = re.findall(r"```json\n(.*?)```", page, re.S)

    found = msgspec.json.decode(shown, type=Health)

    assert msgspec.to_builtins(found) == msgspec.json.decode(shown), "every field is shown"
