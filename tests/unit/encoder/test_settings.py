"""Settings name what the worker serves, and never call a vLLM server a component of ours."""

import pytest

from services.encoder.settings import EncoderSettings
from trimtab.worker.settings import InvalidSettings


def test_without_settings_the_int8_component_is_served() -> None:
    assert EncoderSettings.load().reference == "minilm-int8@1"


def test_a_named_component_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCODER_COMPONENT", "minilm-fp32@1")

    assert EncoderSettings.load().reference == "minilm-fp32@1"


def test_a_vllm_server_has_a_component_name_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCODER_VLLM_URL", "http://127.0.0.1:8000")

    assert EncoderSettings.load().reference == "minilm-vllm@1"


def test_a_vllm_server_cannot_pose_as_a_shipped_component(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCODER_VLLM_URL", "http://127.0.0.1:8000")
    monkeypatch.setenv("ENCODER_COMPONENT", "minilm-int8@1")

    with pytest.raises(InvalidSettings, match="leave ENCODER_COMPONENT empty"):
        EncoderSettings.load()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENCODER_COMPONENT", "minilm"),
        ("ENCODER_VLLM_URL", "127.0.0.1:8000"),
        ("ENCODER_THREADS", "0"),
        ("ENCODER_CACHE_ENTRIES", "-1"),
        ("ENCODER_CACHE_SIZE", "5"),
    ],
)
def test_a_value_out_of_range_or_an_unknown_name_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(InvalidSettings, match=name):
        EncoderSettings.load()
