"""``python -m services.controller.analyze RECORD``: a recorded rollout judged again; `trimtab analyze` asks for it.

Needs no deployment: the policies are the files that a controller of this installation would read.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec

from services.controller.analysis import Outcome
from services.controller.policy import Policy, load_policies, parse_policy
from services.controller.replay import Look, compared, only_policy, replay
from services.controller.settings import ControllerSettings
from services.controller.windows import Rollout
from trimtab.cli.exitcode import ExitCode
from trimtab.contracts.control import Phase
from trimtab.contracts.errors import InvalidCommand, TrimtabError
from trimtab.telemetry.recording import read_record, read_samples

EXITS = {
    Outcome.PASS: ExitCode.OK,
    Outcome.FAIL: ExitCode.FAILED,
    Outcome.INCONCLUSIVE: ExitCode.INCONCLUSIVE,
    Outcome.ERROR: ExitCode.INCONCLUSIVE,
}


@dataclass(frozen=True)
class Replayed:
    """A whole replay."""

    policy: Policy
    rollout: Rollout
    looks: Sequence[Look]

    @property
    def outcome(self) -> Outcome:
        """Of the last look; inconclusive when the record holds none."""
        return self.looks[-1].verdict.outcome if self.looks else Outcome.INCONCLUSIVE

    @property
    def reason(self) -> str:
        """Of the last look."""
        return self.looks[-1].verdict.reason if self.looks else "less than one look was recorded"

    @property
    def phase(self) -> Phase:
        """After the last look."""
        return self.looks[-1].phase if self.looks else Phase.RUNNING


def analyze(record: Path, policies: Path, policy: str) -> Replayed:
    """Replay a record under a policy: a name in ``policies``, a file, or empty for the one that fits.

    Raises:
        InvalidCommand: no such policy, or the record compares nothing.
        InvalidMessage: the file is no record.
        OSError: it cannot be read.
    """
    rollout = compared(read_samples(record))
    chosen = _policy(policies, policy) if policy else None
    if chosen is None:
        chosen = only_policy(load_policies(policies), read_samples(record))
    return Replayed(chosen, rollout, list(replay(read_record(record), chosen, rollout)))


def _policy(folder: Path, asked: str) -> Policy:
    if asked.endswith((".yaml", ".yml")):
        return parse_policy(Path(asked).read_bytes(), Path(asked).name)
    known = load_policies(folder)
    if asked not in known:
        raise InvalidCommand(f"there is no policy {asked!r}; known: {', '.join(sorted(known))}")
    return known[asked]


def shape(found: Replayed) -> dict[str, Any]:
    """Return what ``--json`` prints: every look, then the end."""
    return {
        "policy": found.policy.name,
        "canary": found.rollout.canary,
        "stable": found.rollout.stable,
        "looks": [
            {
                "at": look.at,
                "step": look.step,
                "phase": look.phase,
                "event": look.event,
                "verdict": look.verdict.outcome,
                "reason": look.verdict.reason,
                "evidence": {f.guardrail.name: f.evidence for f in look.verdict.findings},
            }
            for look in found.looks
        ],
        "verdict": found.outcome,
        "reason": found.reason,
        "phase": found.phase,
    }


def lines(found: Replayed) -> Iterable[str]:
    """Yield the replay for people: looks that say the same stand in one line."""
    steps = len(found.policy.steps)
    yield f"{found.rollout.canary} beside {found.rollout.stable}, policy {found.policy.name}"
    began = found.looks[0].at if found.looks else 0.0
    for _, alike in groupby(found.looks, key=lambda look: (look.step, look.event, look.phase)):
        run = list(alike)
        last = run[-1]
        span = f"{run[0].at - began:>7.0f} s to {last.at - began:.0f} s"
        said = f"{last.verdict.outcome}: {last.verdict.reason}"
        yield f"{span}  step {last.step}/{steps}  {len(run)} looks  {last.event}  {said}"
    yield f"{found.phase.replace('_', ' ')}; final verdict {found.outcome}: {found.reason}"


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(
        prog="python -m services.controller.analyze", description=__doc__
    )
    made.add_argument("record", type=Path, help="made by `trimtab analyze --record`")
    made.add_argument("--policy", default="", help="by name, or a YAML file")
    made.add_argument("--json", action="store_true", help="print one JSON value")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code is the final verdict."""
    asked = parser().parse_args(arguments)
    try:
        found = analyze(asked.record, ControllerSettings.load().policies, asked.policy)
    except (TrimtabError, OSError) as error:
        _refuse(error, as_json=asked.json)
        return ExitCode.FAILED if isinstance(error, TrimtabError) else ExitCode.USAGE
    if asked.json:
        _print(msgspec.json.encode(shape(found)).decode())
    else:
        for line in lines(found):
            _print(line)
    return EXITS[found.outcome]


def _refuse(error: TrimtabError | OSError, *, as_json: bool) -> None:
    detail = (
        error.detail if isinstance(error, TrimtabError) else f"{error.strerror}: {error.filename}"
    )
    problem, _, remedy = detail.partition("; ")
    remedy = remedy or "see `trimtab analyze --help`"
    if as_json:
        name = type(error).__name__
        told = {"error": {"name": name, "problem": problem, "remedy": remedy}}
        _print(msgspec.json.encode(told).decode())
    print(f"error: {problem}\ntry: {remedy}", file=sys.stderr)  # noqa: T201 - a command


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a command


if __name__ == "__main__":
    sys.exit(main())
