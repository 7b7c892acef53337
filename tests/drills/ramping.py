"""Ramps under a drill's own policy: starting them, and what became of them by the stored state and the audit."""

import asyncio

from tests.drills.steering import canary
from tests.fleet import Fleet
from trimtab.audit.ledger import Ledger
from trimtab.client import Client
from trimtab.contracts.audit import AuditEntry
from trimtab.contracts.control import Canary, Phase

ENDED = frozenset({Phase.PROMOTED, Phase.ROLLED_BACK})


def policies(fleet: Fleet, policy: str) -> str:
    """Write a folder with one ramp policy and return it, for the controllers' setting of that name."""
    folder = fleet.folder / "policies"
    folder.mkdir(exist_ok=True)
    (folder / "drill.yaml").write_text(policy)
    return str(folder)


async def ended(client: Client) -> Canary:
    """Wait for the end of the rollout."""
    async with asyncio.timeout(120):
        while (found := await canary(client)).phase not in ENDED:
            await asyncio.sleep(0.05)
    return found


async def moves(client: Client) -> list[AuditEntry]:
    """Return the audit's entries of all automatic moves, oldest first."""
    ledger = await Ledger.open(client.connection, "drill")
    return [entry async for entry in ledger.entries() if entry.outcome == "moved"]


async def moved(client: Client, name: str) -> AuditEntry:
    """Wait until the last automatic move of the audit is the one named; return its entry."""
    async with asyncio.timeout(60):
        while True:
            entries = await moves(client)
            if entries and entries[-1].action == f"rollout:{name}":
                return entries[-1]
            await asyncio.sleep(0.05)
