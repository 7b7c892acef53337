"""Members without source are read by introspection, from a closed list of modules only."""

from trimtab.corpus import compiled


def test_a_module_outside_the_list_is_never_imported() -> None:
    assert compiled.members("antigravity") == []


def test_a_signature_written_into_an_old_docstring_is_used() -> None:
    found = {m.name: m for m in compiled.members("builtins")}

    assert found["dict.update"].signature or found["dict.update"].doc
    assert found["str.split"].signature == "(sep=None, maxsplit=-1)"
    assert found["getattr"].signature == "(object, name[, default])"


def test_members_of_other_modules_are_not_claimed() -> None:
    names = {member.name for member in compiled.members("socket")}

    assert "socket" not in {name for name in names if name == "IntEnum"}
    assert "IntEnum" not in names
    assert "gethostbyname" in names


def test_compiled_members_have_no_line() -> None:
    assert all(member.line is None for member in compiled.members("math"))
