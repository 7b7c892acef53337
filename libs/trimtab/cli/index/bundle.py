"""What a diagnosis is made of, gathered part by part: one that cannot be had leaves the others standing."""

from dataclasses import dataclass

import nats.errors
import nats.js.errors

from trimtab.audit.ledger import Ledger
from trimtab.cli import judged
from trimtab.client import Client
from trimtab.contracts.audit import AuditEntry
from trimtab.contracts.errors import TrimtabError
from trimtab.contracts.inspect import InspectReply
from trimtab.contracts.samples import Sample
from trimtab.evaluation.live import Live

_COMMANDS = 10
_HIDDEN = ("dry_run", "unchanged")
_SAME = 1e-4
"""A passage found at a cosine this near to 1 has the vector that was asked for: a copy counts."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look at."""

    collection: str
    tenant: str
    release: str
    sample: int
    """Stored vectors to search for."""
    seed: int
    """Chooses them."""


@dataclass(frozen=True, slots=True)
class Oracle:
    """Stored vectors that were searched for."""

    asked: int
    """How many."""
    found: int
    """Of them, came back first: themselves, or another passage with the very same vector."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """What was gathered."""

    samples: list[Sample]
    """What every worker says of itself."""
    facts: InspectReply | None
    """Of the index; None when no retriever said anything."""
    nprobe: int
    """Lists that a search visits; 0 when unknown."""
    oracle: Oracle
    """Whether the index finds what is in it."""
    commands: list[AuditEntry]
    """The last changes of the control state, oldest first."""
    problems: list[str]
    """Parts that could not be had, and why."""


async def gather(client: Client, wanted: Wanted) -> Bundle:
    """Return all that answers; what does not is named among the problems."""
    problems: list[str] = []
    facts, nprobe, oracle = None, 0, Oracle(0, 0)
    try:
        live = await Live.of(client, wanted.tenant, release=wanted.release)
        facts = await live.inspect(wanted.collection, sample=wanted.sample, seed=wanted.seed)
        nprobe = live.nprobe() or facts.nprobe
        oracle = await _oracle(live, wanted.collection, facts, nprobe)
    except TrimtabError as error:
        problems.append(f"index: {error.detail}")
    commands: list[AuditEntry] = []
    try:
        commands = await _commands(client)
    except (TrimtabError, nats.errors.Error, nats.js.errors.Error) as error:
        problems.append(f"audit: {type(error).__name__}")
    return Bundle(await client.health(), facts, nprobe, oracle, commands, problems)


async def _commands(client: Client) -> list[AuditEntry]:
    ledger = await Ledger.open(client.connection, "cli")
    entries = [entry async for entry in ledger.entries() if entry.outcome not in _HIDDEN]
    return entries[-_COMMANDS:]


async def _oracle(live: Live, collection: str, facts: InspectReply, nprobe: int) -> Oracle:
    if facts.sample is None:
        return Oracle(0, 0)
    found = 0
    vectors = facts.sample.vectors.array()
    with judged.progress() as bar:
        task = bar.add_task("searching for stored vectors", total=len(vectors))
        for name, vector in zip(facts.sample.ids, vectors, strict=True):
            reply = await live.nearest(collection, vector, 1, nprobe)
            first = reply.hits[0].id if reply.hits else ""
            cosine = -1.0 if reply.signals is None else float(reply.signals.cosine.array()[0, 0])
            found += first == name or cosine >= 1.0 - _SAME
            bar.advance(task)
    return Oracle(len(vectors), found)
