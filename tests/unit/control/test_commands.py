"""What commands do: pure, idempotent, and refused without a trace when they do not fit."""

import msgspec
import pytest

from tests.unit.control.documents import canary, kill, release, state
from trimtab.contracts.control import ACTIVE_PHASES, KillLane, Phase, Switch
from trimtab.contracts.errors import (
    InvalidCommand,
    ReleaseExists,
    ReleaseInUse,
    SettingOutOfBounds,
    UnknownRelease,
)
from trimtab.contracts.orders import (
    AbortCommand,
    CreateReleaseCommand,
    DeleteReleaseCommand,
    FreezeCommand,
    KillCommand,
    PauseCommand,
    PromoteCommand,
    RestoreCommand,
    ResumeCommand,
    RollBackCommand,
    SetCommand,
    SetWeightCommand,
    StartCanaryCommand,
)
from trimtab.control.commands import By, change_lane, change_state, document_difference

BY = By("ana", "drill", 1000.0)
EMPTY = KillLane(operation="none", kills=[])


def test_a_kill_replaces_the_one_of_the_same_scope_and_leaves_others() -> None:
    lane = KillLane(
        operation="x",
        kills=[kill(Switch.RERANKER, "off"), kill(Switch.MAPPER_MODE, "rules_only", tenant="acme")],
    )

    after = change_lane(lane, KillCommand(switch=Switch.RERANKER, value="off", ttl_s=60.0), BY)

    assert len(after.kills) == 2
    newest = next(k for k in after.kills if k.switch is Switch.RERANKER)
    assert (newest.actor, newest.expires_at) == ("ana", 1060.0)


def test_several_releases_can_be_banned_at_once_and_unbanned_one_by_one() -> None:
    lane = EMPTY
    for name in ("a", "b"):
        lane = change_lane(lane, KillCommand(switch=Switch.RELEASE, value=name), BY)

    after = change_lane(lane, RestoreCommand(switch=Switch.RELEASE, value="a"), BY)

    assert [k.value for k in after.kills] == ["b"]


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(KillCommand(switch=Switch.RERANKER, value="on"), id="value"),
        pytest.param(
            KillCommand(switch=Switch.RERANKER, value="off", detector="d"), id="detector scope"
        ),
        pytest.param(KillCommand(switch=Switch.RELEASE, value="r", tenant="t"), id="tenant scope"),
    ],
)
def test_a_kill_that_could_not_hold_is_refused(command: KillCommand) -> None:
    with pytest.raises(InvalidCommand):
        change_lane(EMPTY, command, BY)


def test_restoring_what_is_not_killed_changes_nothing() -> None:
    assert change_lane(EMPTY, RestoreCommand(switch=Switch.RERANKER), BY) == EMPTY


def test_a_release_is_immutable_and_creating_it_again_changes_nothing() -> None:
    one = change_state(state(), CreateReleaseCommand(release=release("next")), BY)

    assert change_state(one, CreateReleaseCommand(release=release("next")), BY) == one
    with pytest.raises(ReleaseExists):
        change_state(one, CreateReleaseCommand(release=release("next", rerank=None)), BY)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        pytest.param("base", "the stable release", id="stable"),
        pytest.param("before", "the previous release", id="previous"),
        pytest.param("next", "being ramped", id="ramped"),
    ],
)
@pytest.mark.parametrize("phase", sorted(ACTIVE_PHASES))
def test_a_release_that_requests_may_still_reach_is_not_deleted(
    name: str, role: str, phase: Phase
) -> None:
    desired = msgspec.structs.replace(
        state("base", "before", "next", canary=canary("next", 0, phase)), previous="before"
    )

    with pytest.raises(ReleaseInUse, match=role):
        change_state(desired, DeleteReleaseCommand(release=name), BY)


def test_a_deleted_release_and_its_gates_are_gone_and_deleting_it_again_changes_nothing() -> None:
    ended = state("base", "next", canary=canary("next", 0, Phase.ROLLED_BACK))
    ended = msgspec.structs.replace(ended, gates={"next": {}, "base": {}})

    after = change_state(ended, DeleteReleaseCommand(release="next"), BY)

    assert (set(after.releases), set(after.gates)) == ({"base"}, {"base"})
    assert after.canary == ended.canary, "what became of it stays known"
    assert change_state(after, DeleteReleaseCommand(release="next"), BY) == after
    with pytest.raises(UnknownRelease):
        change_state(after, StartCanaryCommand(release="next"), BY)


def test_a_canary_is_started_promoted_and_its_predecessor_stays_warm() -> None:
    started = change_state(
        state("base", "next"), StartCanaryCommand(release="next", weight_bp=500), BY
    )
    promoted = change_state(started, PromoteCommand(), BY)

    assert started.canary is not None
    assert started.canary.weight_bp == 500
    assert (promoted.stable, promoted.previous) == ("next", "base")
    assert promoted.canary is not None
    assert (promoted.canary.phase, promoted.canary.weight_bp) == (Phase.PROMOTED, 0)


def test_a_second_canary_waits_until_the_first_has_ended() -> None:
    desired = state("base", "next", "third", canary=canary("next", 500))

    with pytest.raises(InvalidCommand, match="next is being ramped"):
        change_state(desired, StartCanaryCommand(release="third"), BY)


def test_a_release_that_nobody_created_cannot_be_ramped() -> None:
    with pytest.raises(UnknownRelease):
        change_state(state(), StartCanaryCommand(release="ghost"), BY)


@pytest.mark.parametrize(
    "command",
    [
        PauseCommand(),
        ResumeCommand(),
        PromoteCommand(),
        AbortCommand(),
        SetWeightCommand(weight_bp=1),
    ],
    ids=lambda command: type(command).__name__,
)
def test_without_a_canary_there_is_nothing_to_steer(command: object) -> None:
    with pytest.raises(InvalidCommand, match="no canary is running"):
        change_state(state(), command, BY)  # type: ignore[arg-type]


def test_abort_is_terminal_and_can_be_repeated() -> None:
    aborted = change_state(state("base", "next", canary=canary("next", 500)), AbortCommand(), BY)

    assert change_state(aborted, AbortCommand(), BY) == aborted
    with pytest.raises(InvalidCommand):
        change_state(aborted, ResumeCommand(), BY)


def test_rolling_back_takes_a_running_canary_first_and_the_stable_release_next() -> None:
    ramping = msgspec.structs.replace(
        state("next", "base", "third", canary=canary("third", 500)), previous="base"
    )

    first = change_state(ramping, RollBackCommand(), BY)
    second = change_state(first, RollBackCommand(), BY)

    assert first.canary is not None
    assert (first.stable, first.canary.phase) == ("next", Phase.ROLLED_BACK)
    assert (second.stable, second.previous) == ("base", "next")


def test_rolling_back_to_nothing_is_refused() -> None:
    with pytest.raises(InvalidCommand, match="no previous release"):
        change_state(state(), RollBackCommand(), BY)


def test_a_setting_that_tenants_share_cannot_be_one_tenants() -> None:
    command = SetCommand(name="encoder.batch_texts", value=4, tenant="acme")

    with pytest.raises(InvalidCommand, match="shared by all tenants"):
        change_state(state("base"), command, BY)


def test_a_freeze_stops_new_ramps_and_lets_rollback_through() -> None:
    desired = msgspec.structs.replace(state("next", "base", "third"), previous="base")
    frozen = change_state(desired, FreezeCommand(on=True), BY)

    with pytest.raises(InvalidCommand, match="frozen by ana"):
        change_state(frozen, StartCanaryCommand(release="third"), BY)
    assert change_state(frozen, RollBackCommand(), BY).stable == "base"


def test_a_setting_is_set_and_taken_back() -> None:
    chosen = change_state(state(), SetCommand(name="retriever.nprobe", value=4, ttl_s=60.0), BY)

    assert chosen.settings["retriever.nprobe"].expires_at == 1060.0
    cleared = change_state(chosen, SetCommand(name="retriever.nprobe", value=None), BY)
    assert cleared.settings == {}


def test_a_threshold_of_one_detector_is_kept_under_its_own_full_name_with_who_why_and_until_when() -> (
    None
):
    command = SetCommand(name="mapper.threshold", value=0.4, detector="d" * 64, ttl_s=60.0)

    after = change_state(state(), command, BY)

    (name,) = after.settings
    assert name == f"mapper.confidence_threshold.{'d' * 64}"
    found = after.settings[name]
    assert (found.value, found.actor, found.reason, found.expires_at) == (0.4, "ana", "drill", 1060)
    taken_back = msgspec.structs.replace(command, value=None)
    assert change_state(after, taken_back, BY).settings == {}


@pytest.mark.parametrize("value", [0.29, 0.91, float("nan")])
def test_a_detectors_threshold_has_the_bounds_of_the_threshold(value: float) -> None:
    command = SetCommand(name="mapper.threshold", value=value, detector="llama-guard")

    with pytest.raises(SettingOutOfBounds, match=r"0\.3 to 0\.9"):
        change_state(state(), command, BY)


@pytest.mark.parametrize("name", ["retriever.nprobe", "mapper.confidence_threshold.openai"])
def test_a_detector_that_does_not_fit_the_setting_is_refused(name: str) -> None:
    with pytest.raises(InvalidCommand, match="detector"):
        change_state(state(), SetCommand(name=name, value=0.5, detector="llama-guard"), BY)


def test_the_difference_names_what_changed_and_leaves_out_who_and_when() -> None:
    before = state("base", "next")
    after = change_state(before, StartCanaryCommand(release="next", weight_bp=500), BY)

    lines = document_difference(before, msgspec.structs.replace(after, actor="someone else"))

    assert len(lines) == 1
    assert lines[0].startswith("canary: none -> ")
