"""Which query model is in force: the switch's, else the release's, else none."""

import msgspec
import pytest

from tests.unit.control.documents import kill, release, state
from trimtab.contracts.control import KillLane, Switch
from trimtab.contracts.errors import InvalidCommand, SettingOutOfBounds, UnknownSetting
from trimtab.contracts.orders import CreateReleaseCommand
from trimtab.control.commands import By, change_state
from trimtab.control.effective import Controls, query_model
from trimtab.control.tunables import checked_in_release

NOW = 1000.0
PLAIN = release("base")
WITH_MEAN = msgspec.structs.replace(PLAIN, settings={"retriever.impl": "mean"})


def controls(*kills: object) -> Controls:
    return Controls(state(), 1, KillLane(operation="op", kills=list(kills)), 2)  # type: ignore[arg-type]


def test_the_switch_overrides_the_release_for_whom_and_as_long_as_it_is_thrown() -> None:
    thrown = kill(Switch.RETRIEVER_IMPL, "amn_v0", until=NOW + 10)
    own = kill(Switch.RETRIEVER_IMPL, "gru_v0", tenant="acme")

    assert query_model(controls(), PLAIN, now=NOW) is None
    assert query_model(controls(), WITH_MEAN, now=NOW) == "mean"
    assert query_model(controls(thrown), WITH_MEAN, now=NOW) == "amn_v0"
    assert query_model(controls(thrown), WITH_MEAN, now=NOW + 11) == "mean"
    assert query_model(controls(own), WITH_MEAN, now=NOW, tenant="acme") == "gru_v0"
    assert query_model(controls(own), WITH_MEAN, now=NOW, tenant="globex") == "mean"


@pytest.mark.parametrize("value", [5, True, "", "two words", "AMN", "amn_v0@", "x" * 200])
def test_a_release_names_a_query_model_or_is_refused(value: float | str) -> None:
    with pytest.raises(InvalidCommand, match="query model"):
        checked_in_release("retriever.impl", value)


@pytest.mark.parametrize("value", ["last_vec", "mean", "amn_v0", "amn_v0@1"])
def test_names_and_references_are_taken(value: str) -> None:
    named = msgspec.structs.replace(PLAIN, name="next", settings={"retriever.impl": value})

    made = change_state(state(), CreateReleaseCommand(release=named), By("test", "test", NOW))

    assert made.releases["next"].settings == {"retriever.impl": value}


def test_every_other_setting_of_a_release_is_a_tunable_within_its_bounds() -> None:
    assert checked_in_release("retriever.nprobe", 4.0) == 4
    with pytest.raises(SettingOutOfBounds):
        checked_in_release("retriever.nprobe", 0)
    with pytest.raises(UnknownSetting):
        checked_in_release("retriever.model", "mean")
