"""``.env.example`` names every variable, and setting them all as it says changes nothing."""

import re
from pathlib import Path

import pytest

from scripts import export_env
from scripts.service_settings import every_class, variables
from trimtab.worker.settings import PrefixedSettings

CLASSES = every_class()
_LINE = re.compile(r"^#([A-Z_]+)=(.*)$", re.MULTILINE)


def test_the_example_is_fresh() -> None:
    stale = "stale: run `python -m scripts.export_env`"

    assert export_env.PATH.read_text() == export_env.render(), stale


def test_every_variable_of_every_process_is_listed_once() -> None:
    listed = [name for name, _ in _LINE.findall(export_env.PATH.read_text())]

    assert sorted(listed) == sorted(name for kind in CLASSES.values() for name in variables(kind))


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES.keys())
def test_the_listed_values_are_the_defaults(
    kind: type[PrefixedSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = variables(kind)
    for name, value in _LINE.findall(export_env.PATH.read_text()):
        if name in fields and kind.model_fields[fields[name]].default is not None:
            monkeypatch.setenv(name, value)
    monkeypatch.chdir(export_env.ROOT)

    assert _absolute(kind.load()) == _absolute(kind())


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES.keys())
def test_settings_are_frozen_and_their_prefix_is_the_services_name(
    kind: type[PrefixedSettings],
) -> None:
    name = next(name for name, value in CLASSES.items() if value is kind)
    prefix = "TRIMTAB_" if name == "deployment" else f"{name.upper()}_"

    assert kind.model_config.get("frozen") is True
    assert kind.model_config.get("env_prefix") == prefix


def _absolute(settings: PrefixedSettings) -> dict[str, object]:
    dumped = settings.model_dump().items()
    return {k: v.resolve() if isinstance(v, Path) else v for k, v in dumped}
