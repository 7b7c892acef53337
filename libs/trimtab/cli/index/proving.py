"""Whether an index that is loaded beside the live one is as good as it was when built, and complete."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab.cli import judged
from trimtab.cli.index.asked import asked
from trimtab.cli.index.held_out import Comparison, compare, usable
from trimtab.contracts.inspect import InspectReply
from trimtab.evaluation.asking import approximate, exact
from trimtab.evaluation.gates import Gate, at_least, at_most
from trimtab.evaluation.live import Live
from trimtab.evaluation.metrics import DEPTH
from trimtab.evaluation.overlap import overlap_of
from trimtab.evaluation.queries import Query
from trimtab.evaluation.truth import TrueAnswer

_DEPTH = 10
_SAME = 1e-3
"""How far a cosine may be from the one that was written down: the same passage, another order of additions."""

_CHANGING = 0.01
"""Share of a collection, or of golden answers, that may change between two looks at it."""


@dataclass(frozen=True, slots=True)
class Golden:
    """Golden queries asked again."""

    asked: int
    """How many."""
    overlap: float
    """Mean share of the exact ten that was written down and came back; 1 without golden queries."""
    pairs: int
    """Passages that came back and were written down."""
    other: int
    """Of these, with another cosine."""


@dataclass(frozen=True, slots=True)
class Proof:
    """The new index beside the live one."""

    live: InspectReply
    """Facts of the one that serves."""
    new: InspectReply
    """Facts of the new one."""
    nprobe: int
    """With which both were asked."""
    compared: Comparison
    """The new one against an exact search."""
    members: int
    """Queries left out, for they are stored passages."""
    before: float
    """Mean overlap of the live one with the same exact search."""
    golden: Golden
    """Golden queries of the component."""

    def gates(self, least_overlap: float, least_delta_pp: float) -> list[Gate]:
        """Return what must hold before it may serve; pure."""
        new, found = self.new, self.compared.overlap
        missing = abs(new.passages - new.listed)
        changed = abs(new.passages - self.live.passages)
        gates = [
            at_most("passages that the new index lacks or has twice", missing, 0),
            at_most(
                "passages more or fewer than the live one holds",
                changed,
                int(_CHANGING * self.live.passages),
                f"{new.passages} and {self.live.passages}",
            ),
            at_most("stored vectors not of unit length", new.stored.beyond, 0),
            at_least(
                f"overlap@{found.depth}",
                found.mean,
                least_overlap,
                f"{found.queries} held-out queries, the live index {self.before:.3f}",
            ),
        ]
        if new.copies is not None:
            gates.append(at_most("vectors in the lists not of unit length", new.copies.beyond, 0))
        for name in ("R@5", "Contain@50"):
            if name in self.compared.deltas:
                delta = self.compared.deltas[name]
                what = f"pp, 95 % interval {delta.text(100)}"
                gates.append(at_least(f"d{name}", 100 * delta.mean, least_delta_pp, what))
        if self.golden.asked:
            told = f"{self.golden.asked} golden queries"
            gates.append(at_least("golden overlap@10", self.golden.overlap, least_overlap, told))
            allowed = int(_CHANGING * self.golden.pairs)
            gates.append(at_most("golden cosines that differ", self.golden.other, allowed, told))
        return gates

    def shape(self) -> dict[str, Any]:
        """Return it for scripts."""
        return {
            "live": {"index": self.live.index, "kind": self.live.kind, "overlap": self.before},
            "new": {
                "index": self.new.index,
                "kind": self.new.kind,
                "passages": self.new.passages,
                "listed": self.new.listed,
                "imbalance": self.new.imbalance,
                "overlap": self.compared.overlap.shape(),
                "delta_pp": {n: d.shape(100) for n, d in self.compared.deltas.items()},
            },
            "nprobe": self.nprobe,
            "members_left_out": self.members,
            "golden": {
                "asked": self.golden.asked,
                "overlap": self.golden.overlap,
                "pairs": self.golden.pairs,
                "other_cosines": self.golden.other,
            },
        }


async def prove(
    live: Live,
    new: Live,
    collection: str,
    queries: Sequence[Query],
    golden: Sequence[TrueAnswer],
    seed: int,
) -> Proof:
    """Ask both releases' indexes the same questions.

    Raises:
        TrimtabError: a request failed.
        Failure: too few queries are held out.
    """
    before, facts = await live.inspect(collection), await new.inspect(collection)
    nprobe = new.nprobe() or facts.nprobe
    with judged.progress() as bar:
        encoded = await asked(new, queries, bar)
        task = bar.add_task("verifying", total=3 * len(queries) + len(golden))

        def advance(done: int) -> None:
            bar.advance(task, done)

        truth = await exact(new, collection, encoded, DEPTH, advance)
        found = await approximate(new, collection, encoded, DEPTH, nprobe, advance)
        usual = live.nprobe() or before.nprobe
        old = await approximate(live, collection, encoded, DEPTH, usual, advance)
        again = await _golden(new, collection, golden, nprobe, advance)
    kept, members = usable(truth)
    compared = compare(queries, truth, found, kept, _DEPTH, seed)
    shares = [overlap_of(old[n].ids, truth[n].ids, _DEPTH) for n in kept]
    return Proof(before, facts, nprobe, compared, members, float(np.mean(shares)), again)


async def _golden(
    new: Live, collection: str, golden: Sequence[TrueAnswer], nprobe: int, advance: Any
) -> Golden:
    shares, pairs, other = [], 0, 0
    for answer in golden:
        vector = np.array([answer.vector], dtype=np.float32)
        reply = await new.nearest(collection, vector, _DEPTH, nprobe)
        cosines = [] if reply.signals is None else reply.signals.cosine.array()[0].tolist()
        found = dict(zip((hit.id for hit in reply.hits), cosines, strict=True))
        shares.append(overlap_of(list(found), answer.ids, _DEPTH))
        for name, cosine in zip(answer.ids, answer.cosines, strict=True):
            if name in found:
                pairs += 1
                other += abs(found[name] - cosine) > _SAME
        advance(1)
    return Golden(len(golden), float(np.mean(shares)) if shares else 1.0, pairs, other)
