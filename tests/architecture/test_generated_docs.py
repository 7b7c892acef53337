"""Generated pages are what their script would write today."""

from pathlib import Path

import pytest

from scripts import export_messages, export_metrics, export_rollout
from scripts.docstrings import read
from tests.architecture.tree import sources
from tests.contracts.catalogue import contracts


def test_the_page_of_messages_is_fresh() -> None:
    stale = "stale: run `python -m scripts.export_messages`"

    assert export_messages.PATH.read_text() == export_messages.render(), stale


def test_the_page_of_metrics_is_fresh() -> None:
    stale = "stale: run `python -m scripts.export_metrics`"

    assert export_metrics.PATH.read_text() == export_metrics.render(), stale


def test_the_page_of_rollout_states_is_fresh() -> None:
    stale = "stale: run `python -m scripts.export_rollout`"

    assert export_rollout.PATH.read_text() == export_rollout.render(), stale


@pytest.mark.parametrize("path", sources("libs/trimtab/contracts"), ids=lambda p: p.name)
def test_every_field_of_a_contract_says_what_it_means(path: Path) -> None:
    _, classes = read(path)
    kinds = contracts()
    silent = [
        f"{name}.{field}"
        for name, documented in classes.items()
        if name in kinds
        for field in kinds[name].__struct_fields__
        if field not in documented.names
    ]

    assert silent == []
