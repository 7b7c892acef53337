"""Where a deployment keeps its state: the variable, the checkout, the user's folder, in this order."""

from pathlib import Path

import pytest

from trimtab.supervisor.home import Home, is_checkout

ROOT = Path(__file__).parents[3]


def test_the_variable_wins_and_becomes_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert Home.find({"TRIMTAB_HOME": "here"}, ROOT).root == tmp_path / "here"


def test_a_checkout_keeps_its_state_below_var() -> None:
    assert is_checkout(ROOT)
    assert Home.find({}, ROOT).root == ROOT / "var"


def test_elsewhere_it_is_the_users_folder(tmp_path: Path) -> None:
    assert Home.find({}, tmp_path).root == Path.home() / ".trimtab"


def test_asking_for_paths_makes_none(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")

    assert home.state.name == "up.json"
    assert not home.root.exists()

    home.prepare()

    assert home.state.parent.is_dir()
    assert home.logs.is_dir()
