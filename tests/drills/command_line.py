"""The command line as an operator runs it, against a drill's fleet."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.fleet import Fleet


def trimtab(fleet: Fleet, *words: str) -> dict[str, object]:
    """Run a command and return what it printed; it must succeed."""
    done = _run(fleet, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    said: dict[str, object] = json.loads(done.stdout)
    return said


def exit_code(fleet: Fleet, *words: str) -> int:
    """Run a command and return how it ended."""
    return _run(fleet, *words).returncode


def _run(fleet: Fleet, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("trimtab"), *words, "--nats", fleet.url, "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TRIMTAB_HOME": str(fleet.home)},
    )
