"""Our encoder against sentence-transformers fp32 on torch: ``python -m benchmarks.encoder_speed``.

Same weights, one thread each, each in its own process, taking turns block by block. Text to vector,
tokenisation included. torch is installed on demand into an environment of its own.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import arguments, environments, report
from benchmarks import encoder_cloze as cloze
from benchmarks.encoder_quality import BUILT, available
from benchmarks.figure import AT_LEAST, Aim, Figure, over_rounds
from benchmarks.processes import ChildFailed, tail
from services.encoder.build import build_component
from services.encoder.shipped import DEFAULT
from services.encoder.weights import REQUIREMENT
from trimtab.corpus import stdlib

PEER = "sentence-transformers fp32"
PEER_ENGINE = "st"
PEER_PACKAGES = ("torch==2.13.0", "sentence-transformers==6.2.0", REQUIREMENT)
AIMS = {1: Aim(AT_LEAST, 6.0), 32: Aim(AT_LEAST, 4.0)}
"""By batch size, for the default profile."""

BLOCK = 32
"""Texts of one encoder before the next one's turn."""

_AGREEMENT = (300, 1500)
"""Queries and passages on which the vectors are compared."""

_CHILD = str(Path(__file__).with_name("encoder_child.py"))
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


@dataclass
class Child:
    """An encoder process."""

    process: "subprocess.Popen[str]"

    def ask(self, texts: Sequence[str], batch: int, **more: str) -> dict[str, float]:
        """Let it encode and return how long that took.

        Raises:
            ChildFailed: it ended.
        """
        command = {"texts": list(texts), "batch": batch, **more}
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
        return self.answer()

    def answer(self) -> dict[str, float]:
        """Return its next answer."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise ChildFailed(f"an encoder ended with {self.process.wait()}")
        answer: dict[str, float] = json.loads(line)
        return answer


@contextlib.contextmanager
def child(python: str, engine: str, log: Path) -> Iterator[Child]:
    """Run an encoder process until the block ends; enters once it has loaded its model.

    Raises:
        ChildFailed: it ended; with the end of what it wrote to stderr.
    """
    ours = "" if engine == PEER_ENGINE else os.pathsep.join([".", "libs", *sys.path[1:]])
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [python, _CHILD, engine],
            env={**os.environ, **_ONE_THREAD, "PYTHONPATH": ours, "HF_HUB_OFFLINE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        started = Child(process)
        started.answer()
        yield started
    except ChildFailed as error:
        raise ChildFailed(f"{error}\n{tail(log)}") from None
    finally:
        process.communicate()


def sentences(count: int) -> list[str]:
    """Return real query-sized texts: the first line of docstrings, at least six words long."""
    found: dict[str, None] = {}
    for document in stdlib.documents():
        line = document.text.splitlines()[0].strip()
        if len(line.split()) >= 6:
            found[line] = None
    lines = list(found)
    return [lines[i] for i in np.linspace(0, len(lines) - 1, count).astype(int)]


def speeds(
    children: Mapping[str, Child], texts: Sequence[str], batch: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Return sentences per second of one round by encoder: of wall time and of processor time."""
    wall, cpu = dict.fromkeys(children, 0.0), dict.fromkeys(children, 0.0)
    for start in range(0, len(texts), BLOCK):
        block = texts[start : start + BLOCK]
        for name, encoder in children.items():
            took = encoder.ask(block, batch)
            wall[name] += took["wall_s"]
            cpu[name] += took["cpu_s"]
    return (
        {name: len(texts) / took for name, took in wall.items()},
        {name: len(texts) / took for name, took in cpu.items()},
    )


def measure(children: Mapping[str, Child], rounds: int, texts: Sequence[str]) -> list[Figure]:
    """Return the speed of every encoder and its ratio to the peer, per batch size."""
    found = []
    for batch, aim in AIMS.items():
        for encoder in children.values():  # nothing is measured cold
            encoder.ask(texts[:BLOCK], batch)
        runs = [speeds(children, texts, batch) for _ in range(rounds)]
        n = rounds * len(texts)
        for name in children:
            mine = [wall[name] for wall, _ in runs]
            found.append(over_rounds(f"{name}, batch {batch}", "texts/s", mine, n=n))
        for name in children:
            if name != PEER:
                wanted = aim if name == DEFAULT else None
                ratio = [wall[name] / wall[PEER] for wall, _ in runs]
                label = f"{name} / {PEER}, batch {batch}"
                found.append(over_rounds(label, "x", ratio, n=n, aim=wanted))
                spent = [cpu[name] / cpu[PEER] for _, cpu in runs]
                found.append(over_rounds(f"{label}, by processor time", "x", spent, n=n))
    return found


def agreement(children: Mapping[str, Child], folder: Path) -> list[Figure]:
    """Return how far vectors and R@5 agree with the peer's; nothing where the data is not here."""
    if not cloze.DATA.is_file():
        return []
    clozes = cloze.thin(cloze.load(limit=_AGREEMENT[0]), _AGREEMENT[1])
    exact = _vectors(children[PEER], clozes, folder)
    found = [_hits(PEER, cloze.ranks(clozes, *exact))]
    for name in children:
        if name != PEER:
            mine = _vectors(children[name], clozes, folder)
            pairs = zip(exact, mine, strict=True)
            cosine = np.concatenate([np.einsum("ij,ij->i", a, b) for a, b in pairs])
            found += [_hits(name, cloze.ranks(clozes, *mine)), _cosine(name, cosine)]
    return found


def _vectors(encoder: Child, clozes: cloze.Clozes, folder: Path) -> list[NDArray[np.float32]]:
    found: list[NDArray[np.float32]] = []
    for texts in (clozes.passages, clozes.queries, clozes.rests):
        path = folder / "vectors.npy"
        encoder.ask(texts, BLOCK, save=str(path))
        found.append(np.load(path, allow_pickle=False))
    return found


def _hits(name: str, rank: NDArray[Any]) -> Figure:
    hits = cloze.measures(rank)["R@5"]
    return over_rounds(f"{name}, R@5", "%", [float(hits.mean())], n=len(hits))


def _cosine(name: str, cosine: NDArray[np.float32]) -> Figure:
    return Figure(
        name=f"{name}, cosine to {PEER} (mean, min - max over texts)",
        unit="",
        value=float(cosine.mean()),
        low=float(cosine.min()),
        high=float(cosine.max()),
        rounds=1,
        n=len(cosine),
    )


def main() -> None:
    """Run the benchmark and print its table; ``--requests`` is texts per encoder, batch and round."""
    given = arguments.read("encoder_speed", __doc__, rounds=9, requests=128)
    peer = environments.ensure("st", *PEER_PACKAGES)
    facts = report.begin("encoder_speed")
    texts = sentences(given.requests)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        peers_log = folder / "peer.log"
        children = {PEER: stack.enter_context(child(str(peer), PEER_ENGINE, peers_log))}
        for reference in sorted(available(), key=lambda name: name != DEFAULT):
            built = build_component(reference, BUILT, lambda line: None)
            log = folder / f"{reference}.log"
            children[reference] = stack.enter_context(child(sys.executable, str(built), log))
        figures = measure(children, given.rounds, texts)
        if not given.quick:
            figures += agreement(children, folder)
    words = sum(len(text.split()) for text in texts) / len(texts)
    notes = [f"{len(texts)} first lines of docstrings, {words:.1f} words on average."]
    done = report.Report(
        benchmark="encoder_speed",
        command=given.command,
        machine=facts,
        figures=figures,
        notes=notes,
    )
    report.show(done, given.json)


if __name__ == "__main__":
    main()
