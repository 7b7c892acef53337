"""A component that no release names leaves after a while; those of the settings never do."""

import msgspec
import pytest

from tests.unit.control.documents import canary, controls, kill, release, state
from trimtab.contracts.control import Switch
from trimtab.control.tunables import QUERY_MODEL
from trimtab.worker.unloading import Unloading

KNOWN = controls(state("base", "next", "later", canary=canary("next", 500)))
HAS = ["mlp-own@1", "mlp-base@1", "mlp-next@1", "mlp-later@1", "mlp-old@1"]


def unloading() -> Unloading:
    return Unloading("rerank", frozenset({"mlp-own@1"}), keep_s=10.0)


def test_only_what_neither_a_release_nor_the_settings_name_leaves() -> None:
    spare = unloading()

    assert spare.due(HAS, [KNOWN], now=100.0) == []
    assert spare.due(HAS, [KNOWN], now=110.0) == ["mlp-old@1"]


def test_who_heard_later_may_ask_for_it_a_while_longer() -> None:
    spare = unloading()
    spare.due(HAS, [KNOWN], now=100.0)

    assert spare.due(HAS, [KNOWN], now=109.9) == []


def test_what_is_wanted_again_meanwhile_begins_anew() -> None:
    spare, again = unloading(), controls(state("base", "next", "later", "old"))
    spare.due(HAS, [KNOWN], now=100.0)
    spare.due(HAS, [again], now=105.0)

    assert spare.due(HAS, [KNOWN], now=111.0) == []
    assert spare.due(HAS, [KNOWN], now=121.0) == ["mlp-old@1"]


def test_what_is_being_prepared_for_stays_though_what_is_in_force_does_not_name_it() -> None:
    spare, prepared = unloading(), controls(state("base", "old"))
    spare.due(HAS, [KNOWN, prepared], now=100.0)

    assert spare.due(HAS, [KNOWN, prepared], now=200.0) == []


@pytest.mark.parametrize("named", ["amn_v0@1", "amn_v0"])
@pytest.mark.parametrize("by_release", [True, False], ids=["release", "switch"])
def test_a_query_model_stays_while_a_release_or_the_switch_names_it(
    named: str, by_release: bool
) -> None:
    spare = Unloading("retrieve", frozenset({"hybrid@1"}), keep_s=10.0)
    has = ["hybrid@1", "amn_v0@1", "gru_v0@1"]
    known = controls(state(), *([] if by_release else [kill(Switch.RETRIEVER_IMPL, named)]))
    if by_release:
        naming = msgspec.structs.replace(release("base"), settings={QUERY_MODEL: named})
        known.state.releases["base"] = naming
    spare.due(has, [known], now=100.0)

    assert spare.due(has, [known], now=110.0) == ["gru_v0@1"]


def test_a_banned_release_keeps_no_component_of_its_name() -> None:
    spare, banned = unloading(), controls(state("base"), kill(Switch.RELEASE, "mlp-old"))
    spare.due(HAS[:2] + HAS[-1:], [banned], now=100.0)

    assert spare.due(HAS[:2] + HAS[-1:], [banned], now=110.0) == ["mlp-old@1"]
