"""Who may import whom: services are separable, the library knows no service, contracts know nobody."""

import sys
from functools import cache

import pytest

from tests.architecture.tree import SERVICES, imports, imports_at_once, modules, sources

_CONTRACT_PACKAGES = {"msgspec", "numpy"}
LONGEST_CHAIN = 13
"""Modules in the longest chain of imports, the contracts counted as one; it may only shrink."""


def _service(name: str) -> str | None:
    return name.split(".")[1] if name.startswith("services.") else None


def test_a_service_never_imports_another_service() -> None:
    wrong = [
        f"{name} imports {target}"
        for name, path in modules().items()
        for target in imports(path)
        if _service(name) and _service(target) and _service(name) != _service(target)
    ]

    assert wrong == []


def test_the_library_never_imports_a_service() -> None:
    wrong = [
        f"{path.name} imports {target}"
        for path in sources("libs")
        for target in imports(path)
        if target.split(".")[0] == "services"
    ]

    assert wrong == []


def test_neither_library_nor_services_import_tests_scripts_or_benchmarks() -> None:
    outside = {"tests", "scripts", "benchmarks"}
    wrong = [
        f"{path.name} imports {target}"
        for path in sources("libs", "services")
        for target in imports(path)
        if target.split(".")[0] in outside
    ]

    assert wrong == []


def test_contracts_import_only_the_standard_library_msgspec_and_numpy() -> None:
    wrong = [
        f"{path.name} imports {target}"
        for path in sources("libs/trimtab/contracts")
        for target in imports(path)
        if not target.startswith("trimtab.contracts")
        and target.split(".")[0] not in sys.stdlib_module_names | _CONTRACT_PACKAGES
    ]

    assert wrong == []


@pytest.mark.parametrize("service", SERVICES)
def test_only_the_main_of_a_service_imports_its_wiring(service: str) -> None:
    wrong = [
        name
        for name, path in modules().items()
        if f"services.{service}.app" in imports(path) and name != f"services.{service}.__main__"
    ]

    assert wrong == []


@cache
def _chain(name: str, above: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the longest chain of imports that starts at a module, the contracts taken as one."""
    if name in above:
        raise AssertionError(f"import cycle: {' -> '.join([*above[above.index(name) :], name])}")
    below = [_chain(target, (*above, name)) for target in imports_at_once(modules()[name])]
    return (_shown(name), *max((_outside(chain) for chain in below), key=len, default=()))


def _shown(name: str) -> str:
    return "contracts" if name.startswith("trimtab.contracts") else name


def _outside(chain: tuple[str, ...]) -> tuple[str, ...]:
    """Return a chain up to where it enters the contracts."""
    return chain[: chain.index("contracts") + 1] if "contracts" in chain else chain


def test_no_module_imports_itself_through_others() -> None:
    for name in modules():
        _chain(name)


def test_the_longest_import_chain_does_not_grow() -> None:
    longest = max((_outside(_chain(name)) for name in modules()), key=len)

    assert len(longest) <= LONGEST_CHAIN, " -> ".join(longest)
