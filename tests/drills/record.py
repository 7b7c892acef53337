"""What a drill measured, as one JSON file per drill below ``var/drills/`` and as lines of the test's output."""

import json
import platform
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "var" / "drills"

Figure = float | int | str | bool | list[float] | list[str] | dict[str, float] | dict[str, int]


def recovery(trigger_at: float, applied_at: float, verified_at: float) -> dict[str, float]:
    """Return the recovery time of a drill and its two parts, seconds.

    Args:
        trigger_at: unix seconds of the command, the crash, or the first bad answer.
        applied_at: when the last worker obeyed, by its own clock.
        verified_at: when the first answer came that was asked for after that and found good.
    """
    return {
        "trigger_to_last_worker_s": round(applied_at - trigger_at, 3),
        "last_worker_to_good_answer_s": round(verified_at - applied_at, 3),
        "rto_s": round(verified_at - trigger_at, 3),
    }


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
