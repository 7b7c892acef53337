"""What never stands in the source: loaders that execute, stray prints, hosts and paths of one machine."""

import ast
import re
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, imports, is_command, parsed, sources, tracked

_UNSAFE_IMPORTS = {
    "pickle",
    "cPickle",
    "cloudpickle",
    "dill",
    "joblib",
    "marshal",
    "shelve",
    "torch",
}
_UNSAFE_CALLS = {"eval", "exec"}
_REGISTRIES = ("py" + "pi.org", "python" + "hosted.org", "--index" + "-url", "npm" + "js.org")
_MACHINE = re.compile(r"(?<![\w.$}-])/(?:work|opt|root|home)/\w")
_UNSAFE_KEYWORDS = {"trust_remote_code", "allow_pickle"}


def _shown(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def test_nothing_imports_a_loader_that_can_execute_what_it_loads() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources("libs", "services")
        for name in imports(path)
        if name.split(".")[0] in _UNSAFE_IMPORTS
    ]

    assert wrong == []


def test_nothing_switches_safe_loading_off() -> None:
    wrong = [
        _shown(path, node.lineno)
        for path in sources("libs", "services", "scripts")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg in _UNSAFE_KEYWORDS
        and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False)
    ]

    assert wrong == []


def test_nothing_evaluates_text() -> None:
    wrong = [
        _shown(path, node.lineno)
        for path in sources("libs", "services", "scripts")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in _UNSAFE_CALLS
    ]

    assert wrong == []


def test_only_commands_print() -> None:
    wrong = [
        _shown(path, node.lineno)
        for path in sources("libs", "services", "scripts")
        if (ROOT / "libs/trimtab/cli") not in path.parents and not is_command(path)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]

    assert wrong == []


def _texts() -> list[tuple[Path, str]]:
    texts = []
    for path in tracked():
        try:
            texts.append((path, path.read_text()))
        except UnicodeDecodeError:
            continue  # a binary file names no host that pip or a shell would read
    return texts


@pytest.mark.parametrize("host", _REGISTRIES)
def test_no_tracked_file_names_a_package_registry(host: str) -> None:
    wrong = [str(path.relative_to(ROOT)) for path, text in _texts() if host in text]

    assert wrong == []


def test_no_tracked_file_names_a_path_of_one_machine() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {found[0]}"
        for path, text in _texts()
        if (found := _MACHINE.search(text))
    ]

    assert wrong == []
