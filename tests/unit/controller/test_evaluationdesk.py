"""Figures of an evaluation are shown as long as it speaks for its release, and no longer."""

import re
import time
from typing import Any, cast

import msgspec
import structlog

from scripts.dashboard_panels import ROWS
from scripts.export_alerts import PATH
from services.controller.evaluationdesk import EvaluationDesk
from services.controller.evaluations import HOLDS_S, Evaluations
from tests.unit.control.documents import controls, release, state
from trimtab.contracts.errors import BusUnavailable
from trimtab.contracts.evaluation import Evaluation, RetrievedFigures
from trimtab.telemetry.metrics import REGISTRY

ALONE = RetrievedFigures(recall_at_5=0.5, mrr_at_10=0.4, contain_at_50=0.9)
SHOWN = {
    "recall_at_5": 0.55,
    "recall_at_5_drop": 0.05,
    "mrr_at_10": 0.45,
    "contain_at_50": 0.9,
    "retrieved_recall_at_5": 0.5,
    "retrieved_mrr_at_10": 0.4,
    "retrieved_contain_at_50": 0.9,
}


NAMES = ("shown-whole", "told-less", "long-ago", "of-today")


class Feed:
    """Tells which releases there are."""

    def __init__(self, *names: str) -> None:
        self.current = controls(state(*names))


class Away:
    """A store that does not answer."""

    async def read(self) -> list[Evaluation]:
        raise BusUnavailable("JetStream does not answer")


def desk(feed: Feed | None = None) -> EvaluationDesk:
    nobody, log = cast("Any", None), structlog.get_logger()
    return EvaluationDesk(
        cast("Any", Away()), Evaluations(), nobody, log, cast("Any", feed or Feed(*NAMES))
    )


def evaluation(name: str, at: float) -> Evaluation:
    return Evaluation(
        at=at,
        release=name,
        release_hash=state(name).releases[name].hash,
        collection="docs",
        queries=300,
        recall_at_5=0.55,
        before=0.6,
        contain_at_50=0.9,
        mrr_at_10=0.45,
        retrieved=ALONE,
    )


def shown(name: str) -> dict[str, float]:
    named = {figure: {"release": name, "figure": figure} for figure in SHOWN}
    values = {
        figure: REGISTRY.get_sample_value("controller_evaluation_ratio", labels)
        for figure, labels in named.items()
    }
    return {figure: round(value, 9) for figure, value in values.items() if value is not None}


def test_every_figure_of_an_evaluation_is_shown_before_and_after_the_reranker() -> None:
    desk().hear(evaluation("shown-whole", time.time()))

    assert shown("shown-whole") == SHOWN


def test_what_the_newest_evaluation_does_not_tell_is_not_shown_any_more() -> None:
    at, here = time.time(), desk()
    here.hear(evaluation("told-less", at - 60))
    less = msgspec.structs.replace(evaluation("told-less", at), retrieved=None, mrr_at_10=None)
    here.hear(less)
    here.hear(evaluation("told-less", at - 30))

    assert set(shown("told-less")) == {"recall_at_5", "recall_at_5_drop", "contain_at_50"}


def test_what_is_too_old_to_speak_is_neither_shown_nor_left_standing() -> None:
    at, here = time.time(), desk()
    here.hear(evaluation("long-ago", at - HOLDS_S - 60))
    here.hear(evaluation("of-today", at))
    before = shown("of-today")
    here.refresh(at + HOLDS_S)

    assert shown("long-ago") == shown("of-today") == {}
    assert before == SHOWN


def test_figures_of_a_release_that_was_deleted_or_made_anew_are_not_shown() -> None:
    at, feed = time.time(), Feed("base", "deleted", "made-anew")
    here = desk(feed)
    for name in ("base", "deleted", "made-anew"):
        here.hear(evaluation(name, at))
    before = [shown(name) for name in ("base", "deleted", "made-anew")]
    left = state("base")
    anew = {**left.releases, "made-anew": release("made-anew", rerank=None)}
    feed.current = controls(msgspec.structs.replace(left, releases=anew))
    here.refresh(at)

    assert before == [SHOWN] * 3
    assert [shown(name) for name in ("base", "deleted", "made-anew")] == [SHOWN, {}, {}]


async def test_what_is_too_old_is_hidden_even_while_the_store_does_not_answer() -> None:
    feed = Feed("gone-meanwhile")
    here = desk(feed)
    here.hear(evaluation("gone-meanwhile", time.time()))
    before = shown("gone-meanwhile")
    feed.current = controls(state("base"))
    await here.recall()

    assert before == SHOWN
    assert shown("gone-meanwhile") == {}


def test_every_figure_that_a_panel_or_an_alert_asks_for_is_shown_by_somebody() -> None:
    queries = [query for row in ROWS.values() for panel in row for query, _ in panel.queries]
    asked = re.findall(r'figure=~?"([^"]+)"', " ".join([*queries, PATH.read_text()]))

    assert len(asked) >= 6
    for pattern in asked:
        assert any(re.fullmatch(pattern, figure) for figure in SHOWN), pattern
