"""Environments that only a benchmark needs, made on demand below ``var/bench-venvs``."""

import sys
import venv
from pathlib import Path

from benchmarks.processes import checked

FOLDER = Path("var/bench-venvs")


def ensure(name: str, *requirements: str) -> Path:
    """Return the interpreter of an environment with the given packages, installing it the first time.

    Raises:
        ChildFailed: pip failed; its last lines say why.
    """
    folder = FOLDER / name
    python, stamp = folder / "bin" / "python", folder / "requirements.txt"
    wanted = "\n".join(requirements) + "\n"
    if not stamp.is_file() or stamp.read_text() != wanted:
        print(f"installing {', '.join(requirements)} into {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True)
        checked(str(python), "-m", "pip", "install", "--quiet", *requirements)
        stamp.write_text(wanted)
    return python
