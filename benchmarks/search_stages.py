"""One size of the search comparison, stage by stage; each leaves what it found in a :class:`Found`."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.engines.roster import OURS, ROSTER
from benchmarks.processes import ChildFailed
from benchmarks.rounds import Blocks, Plan, alternate_blocks, measured
from benchmarks.search_contender import Contender, build, opened
from benchmarks.search_findings import (
    BUS,
    EVERYTHING,
    INSIDE,
    NPROBES,
    PEER,
    RERANKED,
    VECTOR,
    Found,
    PeerFound,
)
from benchmarks.search_sample import Sample, prepare
from benchmarks.search_service import Service, running, shipped_plan
from benchmarks.search_sizes import Size

THREADS = (1, 2)
LIMIT = 50
"""Candidates wanted of everybody: the pool that the reranker sees."""

_SESSION_MS = 30_000.0
_LEAST_REQUESTS = 12
_PARTS_OF = 250
_WARM = 10
"""Requests that :func:`alternate_blocks` does not count."""


@dataclass
class Stages:
    """One size, being measured."""

    size: Size
    folder: Path
    """Vectors and indexes; what stands there from a run that was interrupted is taken."""
    peers: list[str]
    """Names of the roster."""
    plan: Plan
    seed: int
    build_timeout_s: float
    kept: Callable[[], None]
    """Called when there is more to keep."""
    found: Found = field(init=False)
    wanted: float = 0.0
    """Our recall on the tuning queries: what the peers have to find."""

    def __post_init__(self) -> None:
        self.found = Found(self.size, LIMIT, shipped_plan().dense.nprobe)
        self.found.peers = [PeerFound(ROSTER[name].name) for name in self.peers]
        self._began = time.monotonic()

    async def run(self) -> None:
        """Measure everything.

        Raises:
            ChildFailed: one of our own processes ended; a peer's failure is only noted.
        """
        sample = await self.build()
        await self._beside_our_index(sample)
        self.kept()
        self.say("loading the collection into our retriever")
        async with self._running(sample) as service:
            await self._our_service(service)
            self.kept()
            await self._beside_our_service(sample, service)
        self.kept()

    async def load(self) -> None:
        """Make everything that a run needs: :meth:`build`, and our service with its collection and index."""
        sample = await self.build()
        self.say("loading the collection into our retriever")
        async with self._running(sample):
            self.say("our service answers")

    async def build(self) -> Sample:
        """Make the vectors and every index that does not stand yet.

        Raises:
            ChildFailed: our own index could not be built.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.say("vectors and exact answers")
        sample = await prepare(self.folder, self.size, self.seed)
        await self._build_all(sample)
        return sample

    def say(self, what: str) -> None:
        """Say on stderr what happens now."""
        passed = time.monotonic() - self._began
        print(f"search_latency {self.size}, {passed:5.0f} s: {what}", file=sys.stderr)

    def _running(self, sample: Sample) -> AbstractAsyncContextManager[Service]:
        return running(sample, self.folder / "service", LIMIT)

    async def _build_all(self, sample: Sample) -> None:
        self.say(f"building {ROSTER[OURS].name}")
        built = await build(OURS, sample, self._folder_of(OURS), self.build_timeout_s)
        self.found.notes.append(
            f"{self.size}: our index was built in {built.build_s:,.1f} s on one thread."
        )
        for name, peer in zip(self.peers, self.found.peers, strict=True):
            self.say(f"building {peer.name}")
            with self._noted(peer):
                built = await build(name, sample, self._folder_of(name), self.build_timeout_s)
                peer.build_s = built.build_s

    async def _beside_our_index(self, sample: Sample) -> None:
        for threads in THREADS:
            async with self._opened(OURS, sample, threads) as ours:
                if threads == THREADS[0]:
                    await self._our_index(sample, ours)
                ours.effort = self.found.nprobe
                for name, peer in self._sound():
                    await self._session(
                        name, peer, sample, threads, INSIDE, ours.at(self.found.nprobe)
                    )
                    self.kept()

    async def _our_index(self, sample: Sample, ours: Contender) -> None:
        self.say(f"our index: {ours.ready.setup}")
        for nprobe in NPROBES:
            ours.effort = nprobe
            self.found.recalls[nprobe] = await ours.recall(sample.measured)
        ours.effort = self.found.nprobe
        self.wanted = await ours.recall(sample.tuning)
        variants = {f"{INSIDE} {nprobe}": ours.at(nprobe) for nprobe in NPROBES}
        self.found.inside = await alternate_blocks(variants, self.plan)
        self.found.notes.append(
            f"{self.size}: our index in process: {ours.ready.setup}; recall@10 of the tuning half "
            f"{self.wanted:.4f}; resident {ours.resident_mib():,.0f} MiB."
        )

    async def _our_service(self, service: Service) -> None:
        self.say("our service over the bus")
        variants: dict[str, Blocks] = {}
        for nprobe in NPROBES:
            variants[f"{VECTOR} {nprobe}"] = partial(measured, service.by_vector(nprobe))
            variants[f"{EVERYTHING} {nprobe}"] = partial(measured, service.by_everything(nprobe))
        nprobe = self.found.nprobe
        variants[f"{RERANKED} {nprobe}"] = partial(measured, service.reranked(nprobe))
        self.found.service = await alternate_blocks(variants, self.plan)
        own, each = service.reranking_ms[_WARM:], self.plan.requests
        self.found.reranking = [own[at : at + each] for at in range(0, len(own), each)]
        recall = await service.recall(service.sample.measured, nprobe)
        retriever, reranker = service.resident_mib()
        self.found.notes.append(
            f"{self.size}: our service, nprobe {nprobe}: recall@10 {recall:.4f}; written in "
            f"{service.load_s:,.0f} s, started with its index and BM25 in {service.start_s:,.0f} s; "
            f"resident {retriever:,.0f} MiB, the reranker {reranker:,.0f} MiB."
        )
        calls = {"vector": service.by_vector(nprobe), "words too": service.by_everything(nprobe)}
        for way, call in calls.items():
            parts = await service.parts(call, _PARTS_OF)
            said = ", ".join(f"{part} {took:.3f} ms" for part, took in parts.items())
            self.found.notes.append(
                f"{self.size}: mean inside the service over {_PARTS_OF} searches, {way}: {said}."
            )

    async def _beside_our_service(self, sample: Sample, service: Service) -> None:
        ours: Blocks = partial(measured, service.by_vector(self.found.nprobe))
        for threads in THREADS:
            for name, peer in self._sound():
                await self._session(name, peer, sample, threads, BUS, ours)
                self.kept()

    async def _session(
        self, name: str, peer: PeerFound, sample: Sample, threads: int, beside: str, ours: Blocks
    ) -> None:
        """Measure one peer and us in turns; what goes wrong with the peer is noted."""
        self.say(f"{peer.name} with {threads} thread(s) beside {beside}")
        with self._noted(peer):
            async with self._opened(name, sample, threads) as theirs:
                if peer.tuned is None:
                    await theirs.pace()
                    await self._tune(peer, theirs)
                assert peer.tuned is not None
                theirs.effort = peer.tuned.effort
                plan = self._plan_for(await theirs.pace())
                variants = {beside: ours, PEER: theirs.at(theirs.effort)}
                peer.sessions[beside, threads] = await alternate_blocks(variants, plan)

    async def _tune(self, peer: PeerFound, theirs: Contender) -> None:
        peer.setup, peer.knob = theirs.ready.setup, theirs.ready.knob
        peer.tuned = await theirs.tune(self.wanted)
        await theirs.pace()
        peer.recall = await theirs.recall(theirs.sample.measured)
        peer.resident_mib = theirs.resident_mib()
        self.say(f"{peer.name}: {peer.knob} {peer.tuned.effort}, recall {peer.recall:.4f}")

    def _plan_for(self, p50_ms: float) -> Plan:
        """Return the plan, with fewer requests for a peer that takes long."""
        most = int(_SESSION_MS / self.plan.rounds / p50_ms)
        requests = max(_LEAST_REQUESTS, min(self.plan.requests, most))
        return Plan(self.plan.rounds, requests)

    def _sound(self) -> list[tuple[str, PeerFound]]:
        pairs = zip(self.peers, self.found.peers, strict=True)
        return [(name, peer) for name, peer in pairs if not peer.failed]

    def _folder_of(self, name: str) -> Path:
        return self.folder / name

    def _opened(
        self, name: str, sample: Sample, threads: int
    ) -> AbstractAsyncContextManager[Contender]:
        return opened(name, sample, self._folder_of(name), threads, LIMIT)

    @contextlib.contextmanager
    def _noted(self, peer: PeerFound) -> Iterator[None]:
        try:
            yield
        except ChildFailed as failure:
            peer.failed = str(failure)
            self.say(f"{peer.name} failed: {failure}")
