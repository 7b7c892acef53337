"""Builds a component in a process of its own: a worker that builds keeps its memory and its loop free.

Quantising holds the interpreter for seconds, in which a worker would answer no ping, and needs half a
gigabyte that a process never gives back.
"""

import os
import subprocess
import sys
from pathlib import Path

from services.encoder.weights import Report
from trimtab.artifacts.manifest import ArtifactError

_MODULE = "services.encoder.build"


class BuildFailed(ArtifactError):
    """The building process ended with an error; carries its last line."""

    def __init__(self, reference: str, cause: str) -> None:
        super().__init__(f"{reference} could not be built: {cause}")
        self.reference, self.cause = reference, cause


def build_apart(reference: str, into: Path, report: Report) -> Path:
    """Run ``python -m services.encoder.build`` and return the component's folder.

    Raises:
        BuildFailed: it ended with an error; the message says what to do where something can be done.
    """
    command = [sys.executable, "-m", _MODULE, reference, str(into)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(  # noqa: S603 - our own interpreter and module
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        last = "it said nothing"
        for line in process.stdout or ():
            last = line.strip()
            report(last)
    if process.returncode:
        raise BuildFailed(reference, last)
    return into / reference
