"""Runs the retriever's index builder as a process of its own: faiss is the retriever's, not the command line's."""

import importlib.util
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.progress import Progress, TaskID

from trimtab.cli.failure import Failure

_BUILDER = "services.retriever.build_index"


def run_builder(
    bundle: Path, base: Path, out: Path, reference: str, words: Sequence[str], bar: Progress
) -> dict[str, Any]:
    """Build the component ``reference`` into ``out`` and return what the builder says of it.

    Raises:
        Failure: it is not installed, or cannot build this.
    """
    if importlib.util.find_spec("services") is None or importlib.util.find_spec(_BUILDER) is None:
        raise Failure("the retriever is not installed here", "pip install 'trimtab[retriever]'")
    command = [sys.executable, "-m", _BUILDER, "--bundle", str(bundle), "--base", str(base)]
    command += ["--out", str(out), "--name", reference, *words]
    tasks: dict[str, TaskID] = {}
    last: dict[str, Any] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE) as builder:  # noqa: S603 - our own module, no shell
        for line in builder.stdout or ():
            last = msgspec.json.decode(line)
            if "progress" in last:
                _show(last, tasks, bar)
    if "built" in last:
        built: dict[str, Any] = last["built"]
        return built
    problem = last.get("problem") or f"the builder ended with exit code {builder.returncode}"
    raise Failure(f"no index was built: {problem}", "change the options, see --help")


def option_words(options: Mapping[str, object]) -> list[str]:
    """Return the options that were given as words of a command line; None is not given."""
    words = []
    for name, value in options.items():
        if value is not None:
            words += [f"--{name}", str(value)]
    return words


def _show(line: Mapping[str, Any], tasks: dict[str, TaskID], bar: Progress) -> None:
    what, done, of = str(line["progress"]), int(line["done"]), int(line["of"])
    if what not in tasks:
        tasks[what] = bar.add_task(what, total=of)
    bar.update(tasks[what], completed=done, total=of)
