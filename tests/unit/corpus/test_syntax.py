"""What is read of one source file: documented public members, nothing executed."""

from trimtab.corpus.member import Member
from trimtab.corpus.syntax import Reexport, read

SOURCE = b'''"""A module."""
from .part import shown, hidden as _hidden
from elsewhere import *
__all__ = ["Tool", "work"]

raise RuntimeError("nobody runs this")

if True:
    def work(a: int, /, b: str = "x", *rest: int, key: bool = True, **more: str) -> None:
        """Work."""
else:
    def work(a):
        """Work otherwise."""

async def wait(): "Wait."

def _private(): "No."
def silent(): pass

class Tool:
    def __init__(self, size: int = 3):
        """Make a tool."""
    @property
    def size(self): "How big."
    @staticmethod
    def make(kind): "Make one."
    @classmethod
    def load(cls, path): "Load one."
    class Part:
        """A part."""
        def turn(self): "Turn."
'''


def members() -> dict[str, Member]:
    return {m.name: m for m in read("pkg.mod", SOURCE, is_package=False).members}


def test_private_and_undocumented_members_are_left_out() -> None:
    assert list(members()) == [
        "", "work", "wait", "Tool", "Tool.size", "Tool.make", "Tool.load", "Tool.Part", "Tool.Part.turn",
    ]  # fmt: skip


def test_of_two_definitions_the_first_is_kept() -> None:
    assert members()["work"].doc == "Work."


def test_signatures_show_what_a_caller_types() -> None:
    found = members()

    assert found["work"].signature == "(a, /, b='x', *rest, key=True, **more)"
    assert found["Tool"].signature == "(size=3)"
    assert found["Tool.make"].signature == "(kind)"
    assert found["Tool.load"].signature == "(path)"
    assert found["Tool.size"].signature == ""


def test_a_class_without_docstring_speaks_through_its_constructor() -> None:
    assert members()["Tool"].doc == "Make a tool."


def test_kinds_tell_functions_coroutines_methods_and_properties_apart() -> None:
    kinds = {name: member.kind for name, member in members().items()}

    assert kinds["work"] == "function"
    assert kinds["wait"] == "coroutine"
    assert kinds["Tool.make"] == "method"
    assert kinds["Tool.size"] == "property"
    assert kinds["Tool.Part"] == "class"


def test_relative_imports_become_absolute_and_renamed_ones_are_not_shown() -> None:
    found = read("pkg.mod", SOURCE, is_package=False).reexports

    assert found == (Reexport("pkg.part", ("shown",)), Reexport("elsewhere", ("*",)))


def test_a_package_resolves_relative_imports_against_itself() -> None:
    found = read("pkg", b"from .part import shown\nfrom . import other", is_package=True).reexports

    assert found == (Reexport("pkg.part", ("shown",)), Reexport("pkg", ("other",)))


def test_a_written_list_of_exports_limits_what_a_star_takes() -> None:
    syntax = read("pkg.mod", SOURCE, is_package=False)

    assert syntax.exports("work")
    assert not syntax.exports("wait")


def test_a_computed_list_of_exports_falls_back_to_public_names() -> None:
    syntax = read("m", b"__all__ = list(globals())\ndef f(): 'F.'", is_package=False)

    assert syntax.exports("f")
    assert not syntax.exports("_g")
