"""Settings of the reranker: closed to unknown variables, references well-formed."""

import pytest

from services.reranker.settings import RerankerSettings
from trimtab.worker.settings import InvalidSettings


def test_by_default_the_full_component_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RERANKER_COMPONENTS", raising=False)

    settings = RerankerSettings.load()

    assert settings.components == ["mlp-full@2"]
    assert (settings.shipped / "mlp-full@2" / "manifest.json").is_file()


def test_several_components_are_named_as_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANKER_COMPONENTS", '["mlp-full@2", "mlp-runbook4@1"]')

    assert RerankerSettings.load().components == ["mlp-full@2", "mlp-runbook4@1"]


@pytest.mark.parametrize("value", ['["mlp"]', '["../mlp@1"]', "[]", '["a@1/b"]', '["Mlp@1"]'])
def test_a_malformed_reference_is_refused_by_variable(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("RERANKER_COMPONENTS", value)

    with pytest.raises(InvalidSettings, match="RERANKER_COMPONENTS"):
        RerankerSettings.load()


def test_an_unknown_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANKER_HIDDEN", "32")

    with pytest.raises(InvalidSettings, match="RERANKER_HIDDEN"):
        RerankerSettings.load()
