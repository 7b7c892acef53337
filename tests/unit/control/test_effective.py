"""What is in force: defaults < release < desired < tenant < kill, and expiry by the asker's clock."""

import msgspec
import pytest

from tests.unit.control.documents import canary, controls, kill, release, state
from trimtab.contracts.control import Phase, Setting, Switch
from trimtab.contracts.errors import SettingOutOfBounds, UnknownSetting
from trimtab.contracts.mapping import MappingMode
from trimtab.control.effective import effective, effective_hash, needed, offered, routing, setting
from trimtab.control.tunables import checked


def chosen(value: float, until: float | None = None) -> Setting:
    return Setting(value=value, actor="t", reason="t", expires_at=until)


def test_without_kills_everything_is_open_and_the_model_may_decide() -> None:
    found = effective(controls(state()), now=0.0)

    assert (found.open, found.reranker_on, found.mapper_mode) == (True, True, MappingMode.HYBRID)


@pytest.mark.parametrize(
    ("tenant", "detector", "rules_only"),
    [
        pytest.param("acme", "llama-guard", True, id="both match"),
        pytest.param("other", "llama-guard", False, id="another tenant"),
        pytest.param("acme", "perspective", False, id="another detector"),
    ],
)
def test_a_kill_holds_for_its_tenant_and_detector_only(
    tenant: str, detector: str, rules_only: bool
) -> None:
    scoped = kill(Switch.MAPPER_MODE, "rules_only", tenant="acme", detector="llama-guard")

    found = effective(controls(state(), scoped), now=0.0, tenant=tenant, detector=detector)

    assert (found.mapper_mode is MappingMode.RULES_ONLY) == rules_only


def test_an_expired_kill_holds_for_nobody() -> None:
    short = controls(state(), kill(Switch.PIPELINE, "closed", until=10.0))

    assert not effective(short, now=9.9).open
    assert effective(short, now=10.0).open


def test_a_canary_without_a_lease_gets_nothing() -> None:
    ramping = controls(state("base", "next", canary=canary("next", 500)))

    assert routing(ramping, now=0.0, leased=True).weight_bp == 500
    assert routing(ramping, now=0.0, leased=False).weight_bp == 0


@pytest.mark.parametrize("phase", [Phase.PROMOTED, Phase.ROLLED_BACK, Phase.ABORTED])
def test_a_rollout_that_ended_gets_nothing(phase: Phase) -> None:
    ended = controls(state("base", "next", canary=canary("next", 500, phase)))

    assert routing(ended, now=0.0, leased=True).canary is None


def test_a_banned_canary_gets_nothing_and_a_banned_stable_gives_way_to_its_predecessor() -> None:
    desired = msgspec.structs.replace(
        state("next", "base", "third", canary=canary("third", 500)), previous="base"
    )

    without_canary = controls(desired, kill(Switch.RELEASE, "third"))
    without_stable = controls(desired, kill(Switch.RELEASE, "next"))

    assert routing(without_canary, now=0.0, leased=True).canary is None
    assert routing(without_stable, now=0.0, leased=True).stable.name == "base"


def test_the_nearest_choice_of_a_setting_wins() -> None:
    desired = msgspec.structs.replace(
        state(),
        settings={"retriever.nprobe": chosen(4)},
        tenant_settings={"acme": {"retriever.nprobe": chosen(16, until=10.0)}},
    )
    plain, steered = controls(state()), controls(desired)
    own = release("own", settings={"retriever.nprobe": 12})

    assert setting(plain, "retriever.nprobe", release("base"), now=0.0) == 8
    assert setting(plain, "retriever.nprobe", own, now=0.0) == 12
    assert setting(steered, "retriever.nprobe", own, now=0.0) == 4
    assert setting(steered, "retriever.nprobe", own, now=0.0, tenant="acme") == 16
    assert setting(steered, "retriever.nprobe", own, now=10.0, tenant="acme") == 4


def test_a_detectors_own_threshold_wins_over_the_general_one() -> None:
    desired = msgspec.structs.replace(
        state(),
        settings={
            "mapper.confidence_threshold": chosen(0.5),
            "mapper.confidence_threshold.perspective": chosen(0.8),
        },
    )
    steered, base = controls(desired), release("base")

    assert setting(steered, "mapper.confidence_threshold.perspective", base, now=0.0) == 0.8
    assert setting(steered, "mapper.confidence_threshold.llama-guard", base, now=0.0) == 0.5


@pytest.mark.parametrize("value", [0, 5000, 7.5, True, "8"], ids=str)
def test_a_setting_out_of_its_bounds_or_kind_is_refused(value: float | str) -> None:
    with pytest.raises(SettingOutOfBounds):
        checked("retriever.nprobe", value)


def test_a_setting_nobody_declared_is_refused() -> None:
    with pytest.raises(UnknownSetting):
        checked("retriever.nprobes", 8)


def test_every_release_that_may_be_asked_for_is_loaded() -> None:
    desired = msgspec.structs.replace(
        state("base", "old", "next", "idle", canary=canary("next", 0)), previous="old"
    )

    assert needed(controls(desired), "rerank") == ["mlp-base@1", "mlp-old@1", "mlp-next@1"]


def test_a_query_model_that_a_release_names_with_its_version_is_loaded_by_retrievers_alone() -> (
    None
):
    desired = msgspec.structs.replace(state("base", "old", "next", "idle"), previous="old")
    models = {"base": "mean", "old": "amn_v0", "next": "gru_v0@1", "idle": "gru_v0@1"}
    releases = {
        name: msgspec.structs.replace(release, settings={"retriever.impl": models[name]})
        for name, release in desired.releases.items()
    }
    steered = controls(msgspec.structs.replace(desired, releases=releases))
    ramping = msgspec.structs.replace(steered.state, canary=canary("next", 0))

    index = steered.release.retrieve
    assert [name for name in needed(steered, "retrieve") if "v0" in name] == []
    assert index in needed(steered, "retrieve")
    assert [name for name in offered(steered, "retrieve") if "v0" in name] == ["gru_v0@1"]
    assert "gru_v0@1" in needed(controls(ramping), "retrieve")
    assert "gru_v0@1" not in offered(controls(ramping), "retrieve")
    for stage in ("encode", "rerank", "map"):
        assert "gru_v0@1" not in offered(steered, stage)


def test_equal_configurations_have_equal_hashes_whatever_their_revisions() -> None:
    one, two = controls(state(), revision=1), controls(state(), revision=9)
    killed = controls(state(), kill(Switch.RERANKER, "off", until=10.0))

    assert effective_hash(one, now=0.0, leased=True) == effective_hash(two, now=5.0, leased=True)
    assert effective_hash(killed, now=9.0, leased=True) != effective_hash(one, now=9.0, leased=True)
    assert effective_hash(killed, now=10.0, leased=True) == effective_hash(one, now=0, leased=True)
