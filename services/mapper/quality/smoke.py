"""``python -m services.mapper.quality.smoke``: a few golden cases by the way that every request goes, after a change.

Asked for by `trimtab mapper quality smoke`. Only cases that stand in a detector's own file are drawn: they must be
right whatever adapter serves, and under the kill-switch too.
"""

import argparse
import asyncio
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.mapper.command import add_json, finish, report
from services.mapper.definitions.taxonomy import load_taxonomy
from services.mapper.quality.cases import GOLDEN, GoldenCase, read_golden
from services.mapper.settings import MapperSettings
from trimtab.bus.connection import DEFAULT_URL
from trimtab.client import Client
from trimtab.contracts.errors import BusUnavailable, NoWorkers, TrimtabError


def drawn(cases: Sequence[GoldenCase], count: int, seed: int) -> list[GoldenCase]:
    """Return ``count`` cases that the rules must know, spread evenly over the detectors; the same for a seed."""
    certain = [case for case in cases if case.decided_by == "rules"]
    order = random.Random(seed)  # noqa: S311 - a draw of cases, no secret
    decks = []
    for name in dict.fromkeys(case.detector for case in certain):
        deck = [case for case in certain if case.detector == name]
        order.shuffle(deck)
        decks.append(deck)
    found: list[GoldenCase] = []
    while len(found) < count and any(decks):
        found += [deck.pop() for deck in decks if deck]
    return found[:count]


async def run(given: argparse.Namespace, cases: Sequence[GoldenCase], taxonomy: str) -> list[Any]:
    """Ask each case once; returns ``{id, ok, expected, found, decided_by, release, error}`` of each.

    Raises:
        NoWorkers: nobody answers.
        BusUnavailable: NATS does not.
    """
    async with Client.connect(given.nats, name="smoke", nkey_seed=given.nkey_seed) as client:
        return [await _ask(client, case, taxonomy) for case in cases]


async def _ask(client: Client, case: GoldenCase, taxonomy: str) -> dict[str, Any]:
    told: dict[str, Any] = {"id": case.id, "expected": case.expected, "error": ""}
    try:
        mapped = await client.map(case.output, detector=case.detector, taxonomy=taxonomy)
    except (BusUnavailable, NoWorkers):
        raise
    except TrimtabError as error:
        empty = {"ok": False, "found": [], "decided_by": None, "release": ""}
        return {**told, **empty, "error": type(error).__name__}
    labels = mapped.answer.taxonomy
    return {
        **told,
        "ok": set(labels) == set(case.expected),
        "found": labels,
        "decided_by": mapped.answer.decided_by,
        "release": mapped.release,
    }


def lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return it for people."""
    wrong = [row for row in rows if not row["ok"]]
    told = [
        f"FAIL  {row['id']}: {row['error'] or ' + '.join(row['found'])} instead of "
        f"{' + '.join(row['expected'])}"
        for row in wrong
    ]
    releases = ", ".join(sorted({row["release"] for row in rows if row["release"]})) or "nobody"
    word = "FAIL" if wrong else "PASS"
    return [*told, f"{word}  {len(rows) - len(wrong)} of {len(rows)} right, answered by {releases}"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: 0 all right, 1 one wrong or not to be done, 3 nobody answered."""
    made = argparse.ArgumentParser(prog="python -m services.mapper.quality.smoke")
    made.add_argument("--n", type=int, default=10)
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--cases", type=Path, default=GOLDEN)
    made.add_argument("--detector", action="append")
    made.add_argument("--nats", default=DEFAULT_URL)
    made.add_argument("--nkey-seed", type=Path)
    add_json(made)
    given = made.parse_args(argv)
    verdict: list[bool] = []

    def work() -> tuple[Any, list[str]]:
        taxonomy = load_taxonomy(MapperSettings.load().taxonomy)
        golden = read_golden(given.cases, taxonomy, given.detector or ())
        chosen = drawn(golden.cases, given.n, given.seed)
        report(f"{len(chosen)} cases")
        rows = asyncio.run(run(given, chosen, taxonomy.name))
        verdict.append(bool(rows) and all(row["ok"] for row in rows))
        return {"ok": verdict[0], "cases": rows}, lines(rows)

    code = finish(work, as_json=given.json)
    return code or int(not all(verdict))


if __name__ == "__main__":
    sys.exit(main())
