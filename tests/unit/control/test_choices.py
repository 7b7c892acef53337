"""Settings that are a choice, not a quantity: typed as a word, kept and obeyed as a number."""

from pathlib import Path

import msgspec
import pytest

from tests.unit.control.documents import controls, release
from trimtab.contracts.component import Release
from trimtab.contracts.control import ControlState
from trimtab.contracts.errors import SettingOutOfBounds
from trimtab.control.effective import chosen
from trimtab.control.tunables import checked, checked_in_release

NAME = "mapper.on_timeout"
EXAMPLES = sorted((Path(__file__).parents[3] / "deploy/releases").glob("*.json"))


def test_a_word_is_its_number() -> None:
    assert [checked(NAME, word) for word in ("rules", "fail", 0, 1)] == [0, 1, 0, 1]


@pytest.mark.parametrize("value", ["never", "", 2, 0.5, True])
def test_what_is_no_choice_is_refused(value: str | float) -> None:
    with pytest.raises(SettingOutOfBounds):
        checked(NAME, value)


def test_a_word_in_a_release_is_obeyed() -> None:
    made = msgspec.structs.replace(release("base"), settings={NAME: "fail"})
    state = ControlState(
        operation="o", stable="base", releases={"base": made}, canary=None, actor="a", reason="r"
    )

    assert chosen(controls(state), NAME, made, now=0.0) == 1


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_release_of_the_examples_could_be_created(path: Path) -> None:
    found = msgspec.json.decode(path.read_bytes(), type=Release)

    assert found.name == path.stem
    for name, value in found.settings.items():
        checked_in_release(name, value)
