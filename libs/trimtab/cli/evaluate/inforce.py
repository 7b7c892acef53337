"""What was in force while an evaluation asked: without it nobody can tell later why two runs differ."""

import time
from typing import Any

from trimtab.client import Client
from trimtab.contracts.errors import TrimtabError
from trimtab.contracts.retrieve import LAST_VEC
from trimtab.control.effective import effective, query_model
from trimtab.evaluation.live import Live


async def in_force(client: Client, tenant: str, collection: str, release: str) -> dict[str, Any]:
    """Return the control revision, and what it says of whole searches that ``release`` answers."""
    live = await Live.of(client, tenant, release=release)
    now = time.time()
    switches = effective(live.controls, now=now, tenant=tenant)
    return {
        "revision": live.controls.revision,
        "nprobe": await _nprobe(live, collection),
        "retriever.impl": query_model(live.controls, live.release, now=now, tenant=tenant)
        or LAST_VEC,
        "rerank": switches.reranker_on and live.release.rerank is not None,
        "switches": sorted(
            f"{kill.switch.value}={kill.value}"
            for kill in live.controls.kills(now)
            if not kill.detector and kill.tenant in ("", tenant)
        ),
    }


def alone(found: dict[str, Any]) -> dict[str, Any]:
    """Return the same where encoder and retriever were asked alone: they rerank nothing, with no query model."""
    return {**found, "retriever.impl": LAST_VEC, "rerank": False}


async def _nprobe(live: Live, collection: str) -> int | None:
    """Return the lists that a search visits: as set, else the index's own; None where there is no index."""
    chosen = live.nprobe()
    if chosen is not None:
        return chosen
    try:
        return (await live.inspect(collection)).nprobe
    except TrimtabError:
        return None  # the run itself tells what is wrong: the index only has no number to give
