"""Figures of an evaluation are shown as long as it speaks for its release, and no longer."""

import re
import time
from typing import Any, cast

import msgspec

from scripts.dashboard_panels import ROWS
from scripts.export_alerts import PATH
from services.controller.evaluationdesk import EvaluationDesk
from services.controller.evaluations import HOLDS_S, Evaluations
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


def desk() -> EvaluationDesk:
    nobody = cast("Any", None)
    return EvaluationDesk(nobody, Evaluations(), nobody, nobody)


def evaluation(release: str, at: float) -> Evaluation:
    return Evaluation(
        at=at,
        release=release,
        collection="docs",
        queries=300,
        recall_at_5=0.55,
        before=0.6,
        contain_at_50=0.9,
        mrr_at_10=0.45,
        retrieved=ALONE,
    )


def shown(release: str) -> dict[str, float]:
    named = {figure: {"release": release, "figure": figure} for figure in SHOWN}
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
    here.forget(at + HOLDS_S)

    assert shown("long-ago") == shown("of-today") == {}
    assert before == SHOWN


def test_every_figure_that_a_panel_or_an_alert_asks_for_is_shown_by_somebody() -> None:
    queries = [query for row in ROWS.values() for panel in row for query, _ in panel.queries]
    asked = re.findall(r'figure=~?"([^"]+)"', " ".join([*queries, PATH.read_text()]))

    assert len(asked) >= 6
    for pattern in asked:
        assert any(re.fullmatch(pattern, figure) for figure in SHOWN), pattern
