"""What the search comparison found at one size, and the lines of its table. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.figure import AT_LEAST, AT_MOST, Aim, Figure, over_rounds
from benchmarks.rounds import Timings
from benchmarks.search_sizes import Size
from benchmarks.search_tuning import Tuned

Rounds = list[dict[str, Timings]]
"""Of one session, by contender."""

NPROBES = (4, 8, 12, 16)
BUS, INSIDE, PEER = "bus", "inside", "peer"
VECTOR, EVERYTHING, RERANKED = "vector", "everything", "reranked"

RECALL_AIM = Aim(AT_LEAST, 0.95)
SEARCH_AIM = {384: Aim(AT_MOST, 3.0), 768: Aim(AT_MOST, 8.0)}
"""By dimension: ours, and the runbook's where none of ours was set."""

RERANK_AIM = Aim(AT_MOST, 2.0)
AHEAD = Aim(AT_LEAST, 1.0)


@dataclass
class PeerFound:
    """One peer."""

    name: str
    """For the report."""
    setup: str = ""
    """Its index."""
    knob: str = ""
    """Name of its knob."""
    tuned: Tuned | None = None
    """The value that finds as much as we do."""
    recall: float = 0.0
    """Recall@10 on the measured queries with that value."""
    build_s: float = 0.0
    """To build its index with every core."""
    resident_mib: float = 0.0
    """While it is searched."""
    sessions: dict[tuple[str, int], Rounds] = field(default_factory=dict)
    """Beside our index in process, and beside our service over the bus, by its threads."""
    failed: str = ""
    """Why it was not measured."""


@dataclass
class Found:
    """One size."""

    size: Size
    """Which."""
    limit: int
    """Candidates wanted of everybody."""
    nprobe: int
    """What the shipped component visits."""
    recalls: dict[int, float] = field(default_factory=dict)
    """Of our index, by nprobe, on the measured queries."""
    inside: Rounds = field(default_factory=list)
    """Our index in process, by nprobe."""
    service: Rounds = field(default_factory=list)
    """Our services, by way and nprobe."""
    reranking: list[list[float]] = field(default_factory=list)
    """Latencies of the reranker's own requests by round, ms."""
    notes: list[str] = field(default_factory=list)
    """What must be known to read the figures."""
    peers: list[PeerFound] = field(default_factory=list)
    """In the order of the roster."""

    def figures(self) -> list[Figure]:
        """Return the table's lines: what is there by now."""
        lines = [
            *self._recall_lines(),
            *self._own_lines(),
            *(self._rerank_lines() if self.service else ()),
        ]
        for peer in self.peers:
            lines += self._peer_lines(peer)
        missing = [peer.name for peer in self.peers if peer.failed]
        if missing:
            name = f"peers not measured: {', '.join(missing)}; the reason is below"
            lines.append(self._line(name, "peers", [float(len(missing))], 1))
        return lines

    def said(self) -> list[str]:
        """Return the notes, one for each peer among them."""
        return [*self.notes, *(f"{self.size}: {_said_of(peer)}" for peer in self.peers)]

    def _line(
        self, name: str, unit: str, values: Sequence[float], n: int, aim: Aim | None = None
    ) -> Figure:
        return over_rounds(f"{self.size}: {name}", unit, values, n=n, aim=aim)

    def _recall_lines(self) -> list[Figure]:
        return [
            self._line(
                f"recall@10 against FLAT, nprobe {nprobe}",
                "",
                [found],
                500,
                RECALL_AIM if nprobe == self.nprobe else None,
            )
            for nprobe, found in self.recalls.items()
        ]

    def _own_lines(self) -> list[Figure]:
        aim = SEARCH_AIM.get(self.size.dimension)
        lines = self._by_nprobe(self.inside, INSIDE, "our index in process", None)
        lines += self._by_nprobe(self.service, VECTOR, "ours over the bus, vector", aim)
        words = "vector, words and token vectors" if self.size.tokens else "vector and words"
        return lines + self._by_nprobe(self.service, EVERYTHING, f"ours over the bus, {words}", aim)

    def _by_nprobe(self, rounds: Rounds, way: str, name: str, aim: Aim | None) -> list[Figure]:
        lines = []
        for nprobe in NPROBES if rounds else ():
            timings = [each[f"{way} {nprobe}"] for each in rounds]
            n, ours = _count(timings), nprobe == self.nprobe
            called = f"{name}, nprobe {nprobe}"
            if ours:
                lines.append(self._line(f"p50 {called}", "ms", _p50(timings), n))
            lines.append(self._line(f"p95 {called}", "ms", _p95(timings), n, aim if ours else None))
        return lines

    def _rerank_lines(self) -> list[Figure]:
        both = [each[f"{RERANKED} {self.nprobe}"] for each in self.service]
        alone = [each[f"{EVERYTHING} {self.nprobe}"] for each in self.service]
        own = [Timings(latencies_ms=each) for each in self.reranking]
        n, pool = _count(both), f"pool of {self.limit}"

        def added(share: str, of: list[float], less: list[float], aim: Aim | None) -> Figure:
            values = [a - b for a, b in zip(of, less, strict=True)]
            return self._line(f"{share} added by reranking, {pool}", "ms", values, n, aim)

        return [
            self._line("p95 ours over the bus, searched and reranked", "ms", _p95(both), n),
            added("p50", _p50(both), _p50(alone), None),
            added("p95", _p95(both), _p95(alone), RERANK_AIM),
            self._line(f"p50 the reranker's own request, {pool}", "ms", _p50(own), n),
            self._line(f"p95 the reranker's own request, {pool}", "ms", _p95(own), n),
        ]

    def _peer_lines(self, peer: PeerFound) -> list[Figure]:
        lines = []
        for (beside, threads), rounds in peer.sessions.items():
            theirs = [each[PEER] for each in rounds]
            mine = [each[beside] for each in rounds]
            n, called = _count(theirs), f"{peer.name}, {_cores(threads)}"
            ratio = [a / b for a, b in zip(_p95(theirs), _p95(mine), strict=True)]
            ratio50 = [a / b for a, b in zip(_p50(theirs), _p50(mine), strict=True)]
            if beside == INSIDE:
                lines += [
                    self._line(f"p50 {called}", "ms", _p50(theirs), n),
                    self._line(f"p95 {called}", "ms", _p95(theirs), n),
                    self._line(f"p50 ratio: {called} / our index in process", "x", ratio50, n),
                    self._line(f"p95 ratio: {called} / our index in process", "x", ratio, n, AHEAD),
                ]
            else:
                name = f"p95 ratio: {called}, in process / ours over the bus"
                lines.append(self._line(name, "x", ratio, n))
        return lines


def _said_of(peer: PeerFound) -> str:
    if peer.failed:
        return f"{peer.name} was not measured: {peer.failed}"
    tuned = peer.tuned
    if tuned is None:
        return f"{peer.name} was not tuned"
    enough = "" if tuned.reached else ", its best: less than ours"
    return (
        f"{peer.name}: {peer.setup}; {peer.knob} {tuned.effort}, recall@10 {peer.recall:.4f} "
        f"(tuning half {tuned.recall:.4f}{enough}); built in {peer.build_s:,.1f} s, "
        f"resident {peer.resident_mib:,.0f} MiB."
    )


def _cores(threads: int) -> str:
    return "1 core" if threads == 1 else f"{threads} cores"


def _count(timings: Sequence[Timings]) -> int:
    return sum(len(each.latencies_ms) for each in timings)


def _p50(timings: Sequence[Timings]) -> list[float]:
    return [median(each.latencies_ms) for each in timings]


def _p95(timings: Sequence[Timings]) -> list[float]:
    return [each.p95_ms for each in timings]
