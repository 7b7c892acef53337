"""The command line over a fleet of tests, for commands that may be refused: code, JSON and errors as they came."""

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fleet import ROOT, Fleet


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    json: Any
    errors: str


async def trimtab(fleet: Fleet, *words: str) -> Said:
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("trimtab"),
        *(*words, "--nats", fleet.url, "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "TRIMTAB_HOME": str(fleet.home)},
    )
    printed, errors = await process.communicate()
    assert process.returncode is not None
    return Said(process.returncode, json.loads(printed) if printed else None, errors.decode())


def refused(said: Said) -> list[str]:
    return [found["interlock"] for found in said.json["interlocks"] if not found["ok"]]
