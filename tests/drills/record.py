"""What a drill measured, as one JSON file per drill below ``var/drills/`` and as lines of the test's output."""

import json
import platform
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "var" / "drills"

Figure = float | int | str | bool | list[float] | list[str] | dict[str, float] | dict[str, int]


def write(drill: str, **figures: Figure) -> Path:
    """Keep the figures of one run; the newest run of a drill replaces the one before."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{drill}.json"
    record = {
        "drill": drill,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "figures": figures,
    }
    path.write_text(json.dumps(record, indent=2) + "\n")
    sys.stdout.write(f"\n{drill}: {json.dumps(figures)}\n")
    return path
