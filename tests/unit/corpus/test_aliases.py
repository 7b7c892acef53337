"""Functions that a module makes by binding a method of a hidden instance are found under their name."""

from trimtab.corpus.member import Member
from trimtab.corpus.syntax import read

SOURCE = b'''"""A game."""
class Dice:
    """Dice."""
    def roll(self, sides=6): "Roll once."
    def silent(self): pass

_dice = Dice()
roll = _dice.roll
silent = _dice.silent
throw = roll
_hidden = _dice.roll
Cup = Dice
Dice = Dice
stranger = elsewhere.thing
LIMIT = 6
'''


def found() -> dict[str, Member]:
    return {member.name: member for member in read("game", SOURCE, is_package=False).members}


def test_a_method_of_a_hidden_instance_is_a_function_of_the_module() -> None:
    roll = found()["roll"]

    assert (roll.kind, roll.signature, roll.doc) == ("function", "(sides=6)", "Roll once.")
    assert roll.line == 8


def test_another_name_of_a_class_is_a_class() -> None:
    assert found()["Cup"].kind == "class"


def test_only_public_names_of_documented_members_count_and_none_twice() -> None:
    assert list(found()) == ["", "Dice", "Dice.roll", "roll", "Cup"]


def test_random_shows_its_functions() -> None:
    from trimtab.corpus.stdlib import documents

    ids = {document.id for document in documents(["random"])}

    assert {"random.choice", "random.shuffle", "random.randint"} <= ids
