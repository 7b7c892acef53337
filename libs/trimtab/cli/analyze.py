"""`trimtab analyze`: records what the controller hears, or has a record judged again.

Judging is the controller's own code, which the command line does not import: a replay runs
``python -m services.controller.analyze`` and hands its output and its exit code through.
"""

import asyncio
import contextlib
import importlib.util
import subprocess
import sys
from io import RawIOBase
from pathlib import Path
from typing import Annotated

import typer
from nats.aio.msg import Msg

from trimtab.cli import options
from trimtab.cli.address import nats_url
from trimtab.cli.durations import seconds_of
from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import Failure, guarded
from trimtab.cli.link import reach
from trimtab.cli.output import print_json, stderr, stdout
from trimtab.contracts import subjects
from trimtab.contracts.errors import InvalidMessage
from trimtab.contracts.evaluation import Evaluation
from trimtab.contracts.message import decode
from trimtab.contracts.samples import Sample
from trimtab.telemetry.recording import line_of

_JUDGE = "services.controller.analyze"


@guarded
def analyze(
    record: Annotated[
        Path | None,
        typer.Option(
            "--record", help="Write every worker's samples, and evaluations, here.", dir_okay=False
        ),
    ] = None,
    replay: Annotated[
        Path | None,
        typer.Option("--replay", help="Judge this record again.", exists=True, dir_okay=False),
    ] = None,
    duration: Annotated[
        str, typer.Option("--for", help="How long to record: 10m, 4h; default: until Ctrl-C.")
    ] = "",
    policy: Annotated[
        str, typer.Option("--policy", help="To judge by: its name, or a YAML file.")
    ] = "",
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Record the fleet's samples, or replay a record through the controller's own judge.

    A replay ends 0 when the last verdict is pass, 1 when it is fail, 4 when it is neither.
    """
    if (record is None) == (replay is None):
        remedy = "see `trimtab analyze --help`"
        raise Failure("say either --record or --replay", remedy, ExitCode.USAGE)
    if replay is not None:
        raise typer.Exit(_judge(replay, policy, as_json=as_json))
    if record is not None:
        limit_s = seconds_of(duration) if duration else None
        count = _record(nats_url(nats), nkey_seed, record, limit_s)
        if as_json:
            print_json({"samples": count, "file": str(record)})
        else:
            stdout().print(f"{count} samples in {record}", markup=False, soft_wrap=True)


def _judge(record: Path, policy: str, *, as_json: bool) -> int:
    if importlib.util.find_spec("services") is None or importlib.util.find_spec(_JUDGE) is None:
        raise Failure("the controller is not installed here", "pip install 'trimtab[controller]'")
    words = [sys.executable, "-m", _JUDGE, str(record)]
    words += ["--policy", policy] if policy else []
    words += ["--json"] if as_json else []
    return subprocess.run(words, check=False).returncode  # noqa: S603 - our own module, no shell


def _record(url: str, nkey_seed: Path | None, path: Path, limit_s: float | None) -> int:
    with path.open("wb", buffering=0) as file:
        recording = _Recording(file)
        with contextlib.suppress(KeyboardInterrupt):  # that is how one without a limit ends
            asyncio.run(recording.listen(url, nkey_seed, limit_s))
    return recording.count


class _Recording:
    """Writes each sample and evaluation as it is heard; unbuffered, so that a kill costs the line being written."""

    def __init__(self, file: RawIOBase) -> None:
        self._file = file
        self.count = 0

    async def listen(self, url: str, nkey_seed: Path | None, limit_s: float | None) -> None:
        async with reach(url, nkey_seed) as client:
            await client.connection.subscribe(subjects.SAMPLES, cb=self._sampled)
            await client.connection.subscribe(subjects.EVALUATION, cb=self._evaluated)
            await client.connection.flush()
            stderr().print("recording; Ctrl-C ends it" if limit_s is None else "recording")
            if limit_s is None:
                await asyncio.Event().wait()
            else:
                await asyncio.sleep(limit_s)

    async def _sampled(self, message: Msg) -> None:
        # What is no sample is left out: the controller does not judge by it either.
        with contextlib.suppress(InvalidMessage):
            self._file.write(line_of(decode(Sample, message.data)))
            self.count += 1

    async def _evaluated(self, message: Msg) -> None:
        with contextlib.suppress(InvalidMessage):
            self._file.write(line_of(decode(Evaluation, message.data)))
