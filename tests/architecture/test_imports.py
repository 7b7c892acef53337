"""Who may import whom: services are separable, the library knows no service, contracts know nobody."""

import sys
from graphlib import TopologicalSorter

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


def _imported_first() -> list[str]:
    """Return all modules, each after what it imports.

    Raises:
        CycleError: there is no such order; names the modules of one cycle.
    """
    graph = {name: imports_at_once(path) for name, path in modules().items()}
    return list(TopologicalSorter(graph).static_order())


def _longest_chain() -> tuple[str, ...]:
    """Return the longest chain of imports, the contracts taken as its last module."""
    longest: dict[str, tuple[str, ...]] = {}
    for name in _imported_first():
        if name.startswith("trimtab.contracts"):
            longest[name] = ("contracts",)
            continue
        below = (longest[target] for target in imports_at_once(modules()[name]))
        longest[name] = (name, *max(below, key=len, default=()))
    return max(longest.values(), key=len)


def test_no_module_imports_itself_through_others() -> None:
    assert set(_imported_first()) == set(modules())


def test_the_longest_import_chain_does_not_grow() -> None:
    longest = _longest_chain()

    assert len(longest) <= LONGEST_CHAIN, " -> ".join(longest)
