"""One deployment of every service whose index is IVF, though small, and questions people would ask it."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from benchmarks.retriever_questions import QUESTIONS
from services.retriever.plan import DensePlan, FusionPlan, LexicalPlan, Plan
from tests.deployments import MODULES
from tests.fleet import SERVICES, Fleet
from tests.unit.retriever import stream
from trimtab.corpus.stdlib import documents

PLAN = Plan(
    dense=DensePlan(flat_below=100, nlist_per_sqrt=0.3, nprobe=4),
    lexical=LexicalPlan(k1=1.5, b=0.75),
    fusion=FusionPlan(method="blend", lexical_weight=0.4, rrf_k=10.0, depth=50),
    low_cosine=0.3,
)
"""Six lists of some sixty passages: one of them holds as many candidates as a search wants."""

_TRIMTAB = Path(sys.executable).with_name("trimtab")


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    errors: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Measured:
    """A running deployment and its held-out questions; calling it runs a command."""

    fleet: Fleet
    questions: Path
    """JSON lines with relevant ids."""

    def __call__(self, *words: object) -> Said:
        done = subprocess.run(
            [_TRIMTAB, *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            env={
                **os.environ,
                "TRIMTAB_HOME": str(self.fleet.home),
                "TRIMTAB_NATS_URL": self.fleet.url,
            },
        )
        return Said(done.returncode, done.stdout, done.stderr)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def measured(
    template: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Measured]:
    """Every service; the stable release searches by IVF lists."""
    folder = tmp_path_factory.mktemp("measured")
    shipped = stream.component(folder / "shipped", PLAN, version="2")
    fleet = Fleet(folder)
    fleet.adopt(template)
    fleet.server.start()
    try:
        for service in SERVICES:
            fleet.spawn(service, **({"shipped": str(shipped)} if service == "retriever" else {}))
        await fleet.ready()
        measured = Measured(fleet, _questions(folder / "questions.jsonl"))
        for words in (
            ("release", "create", "ivf", "--retrieve", "hybrid@2", "--wait", "60"),
            ("canary", "start", "ivf", "--weight", "100", "--wait", "60"),
            ("canary", "promote", "--force", "--reason", "for these tests", "--wait", "60"),
        ):
            said = measured(*words)
            assert said.code == 0, f"{words}: {said.out} {said.errors} {fleet.tails()}"
        yield measured
    finally:
        fleet.close()


def _questions(path: Path) -> Path:
    known = {document.id for document in documents(MODULES)}
    rows = [
        {
            "id": f"q{number}",
            "text": text,
            "relevant": sorted(names & known),
            "cluster": min(names & known).partition(".")[0],
        }
        for number, (text, names) in enumerate(QUESTIONS)
        if names & known
    ]
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    return path
