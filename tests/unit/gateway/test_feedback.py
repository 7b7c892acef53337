"""Choices become counts by arm: the rank of what was chosen, and what the reranker gained by it."""

import pytest

from services.gateway.feedback import BELOW_FIVE, ENDPOINT, NOT_FIRST, Feedback, search_key
from services.gateway.ranking import Ranking
from services.gateway.shown import Memory
from services.gateway.stages import Stages
from tests.unit.control.documents import release
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.retrieve import Hit, RetrieveReply
from trimtab.contracts.samples import EndpointSample
from trimtab.telemetry.metrics import REGISTRY
from trimtab.worker.sampler import Identity, Sampler

IDS = [f"p{number}" for number in range(8)]
FOUND = RetrieveReply(
    collection="docs",
    index="docs@1",
    hits=[Hit(id=i, article="a", title="", text="", metadata={}, tenant="public") for i in IDS],
    signals=None,
)
TURNED = Ranking(list(range(8))[::-1], [0.5] * 8, reranked=True, degraded=[])
AS_FOUND = Ranking(list(range(8)), [0.5] * 8, reranked=False, degraded=[])


def feedback(share: float = 1.0) -> Feedback:
    sampler = Sampler(Identity("gateway", "g-0", "1", 0.0))
    return Feedback(sampler, Memory(100, 60.0), share)


def stages(request_id: str, name: str, role: str, rerank: str | None) -> Stages:
    context = RequestContext(request_id, "acme", 1, release=name, role=role)
    asked = object.__new__(Stages)  # no caller and no controls: feedback reads neither
    asked.release, asked.context = release(name, rerank), context
    return asked


def cells(given: Feedback) -> dict[str, EndpointSample]:
    return {cell.release: cell for cell in given.sampler.take(0).endpoints}


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_arms_are_counted_apart_by_release_and_role() -> None:
    given = feedback()
    for number in range(3):
        given.shown(FOUND, TURNED, stages(f"on-{number}", "on", "control", "mlp@1"))
        given.chosen(search_key("acme", f"on-{number}"), "p7")
    for number in range(2):
        given.shown(FOUND, AS_FOUND, stages(f"off-{number}", "off", "canary", None))
        given.chosen(search_key("acme", f"off-{number}"), "p7")

    found = cells(given)

    assert {cell.endpoint for cell in found.values()} == {ENDPOINT}
    assert (found["on"].role, found["on"].component, found["on"].bad) == ("control", "mlp@1", {})
    assert (found["off"].role, found["off"].component) == ("canary", "none")
    assert found["off"].bad == {NOT_FIRST: 2, BELOW_FIVE: 2}
    assert (found["on"].outcomes, found["off"].outcomes) == ({"ok": 3}, {"ok": 2})


def test_both_orders_and_their_difference_are_exported() -> None:
    given = feedback()
    labels = {"component": "mlp-measured@1", "role": "stable"}
    for passage in ("p7", "p0"):
        given.shown(FOUND, TURNED, stages(f"r-{passage}", "on", "stable", "mlp-measured@1"))
        given.chosen(search_key("acme", f"r-{passage}"), passage)

    rank = "gateway_chosen_reciprocal_rank_ratio"
    assert metric(f"{rank}_count", order="retrieved", **labels) == 2
    assert metric(f"{rank}_sum", order="retrieved", **labels) == pytest.approx(1 / 8 + 1)
    assert metric(f"{rank}_sum", order="answered", **labels) == pytest.approx(1 + 1 / 8)
    assert metric("gateway_rerank_mrr_gain_ratio", **labels) == pytest.approx(0.0)


def test_the_gain_is_above_nothing_where_the_reranker_put_the_chosen_passage_higher() -> None:
    given = feedback()
    given.shown(FOUND, TURNED, stages("r", "on", "canary", "mlp-good@1"))
    given.chosen(search_key("acme", "r"), "p7")

    gain = metric("gateway_rerank_mrr_gain_ratio", component="mlp-good@1", role="canary")
    assert gain == pytest.approx(1 - 1 / 8)


def test_another_tenants_word_on_the_same_request_id_counts_for_nothing() -> None:
    given = feedback()
    given.shown(FOUND, TURNED, stages("r", "on", "stable", "mlp@1"))

    given.chosen(search_key("globex", "r"), "p7")

    assert cells(given) == {}


def test_only_the_sampled_share_is_remembered() -> None:
    some, none = feedback(0.5), feedback(0.0)
    for number in range(400):
        for given in (some, none):
            given.memory = Memory(1000, 60.0) if number == 0 else given.memory
            given.shown(FOUND, TURNED, stages(f"r-{number}", "on", "stable", "mlp@1"))

    assert 150 < len(some.memory) < 250
    assert len(none.memory) == 0
