"""A mapping called in one process, without a bus: encoder and mapper as they are, and the rules alone."""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import structlog

from services.encoder.cache import EncodedText
from services.encoder.component import ComponentBackend, open_component
from services.encoder.compute import Job, compute
from services.mapper.definitions.definitions import load_definitions
from services.mapper.mapper import Mapper
from services.mapper.model.component import load_component
from services.mapper.settings import MapperSettings
from trimtab.contracts.mapping import FREE_TEXT, MappingMode, MapReply, MapRequest
from trimtab.contracts.tensor import Matrix

TAXONOMY = "ai-safety"


@dataclass(frozen=True, slots=True)
class Parts:
    """Where the components lie that a deployment maps with."""

    encoder: Path
    """Folder."""
    mapper: Path
    """Folder."""


@dataclass
class Engine:
    """Encoder and mapper, one after another; for one thread."""

    parts: Parts
    encoder: ComponentBackend = field(init=False)
    mapper: Mapper = field(init=False)

    def __post_init__(self) -> None:
        settings = MapperSettings()
        found = load_definitions(settings.taxonomy, settings.detectors, settings.frameworks)
        self.encoder = open_component(self.parts.encoder)
        self.mapper = Mapper(
            found.taxonomy,
            found.detectors,
            load_component(self.parts.mapper),
            settings.confidence_threshold,
            structlog.get_logger(),
            frameworks=found.frameworks,
        )

    def map(self, text: str) -> MapReply:
        """Encode a text and let the model decide."""
        ((row,),) = compute(self.encoder, [Job((text,), (0,), "truncate", tokens=False)])
        assert isinstance(row, EncodedText)  # a question is never refused
        return self._map(text, Matrix.of(row.vector[np.newaxis]), MappingMode.HYBRID)

    def by_rules(self, text: str) -> MapReply:
        """Let the rules decide."""
        return self._map(text, None, MappingMode.RULES_ONLY)

    def _map(self, text: str, vectors: Matrix | None, mode: MappingMode) -> MapReply:
        request = MapRequest(
            taxonomy=TAXONOMY, detector=FREE_TEXT, output=text, vectors=vectors, mode=mode
        )
        return self.mapper.map(request).reply


@dataclass
class Local:
    """One engine for the loop's thread, one per core for a crowd."""

    parts: Parts
    alone: Engine
    pool: ThreadPoolExecutor
    threads: threading.local

    @classmethod
    async def open(cls, parts: Parts) -> "Local":
        """Load one, beside the loop: a loop that stands still for seconds loses its connection."""
        alone = await asyncio.to_thread(Engine, parts)
        cores = len(os.sched_getaffinity(0))
        return cls(parts, alone, ThreadPoolExecutor(cores), threading.local())

    async def map_beside(self, text: str) -> MapReply:
        """Map in one of the threads."""
        return await self._beside(text, by_rules=False)

    async def rules_beside(self, text: str) -> MapReply:
        """Apply the rules in one of the threads."""
        return await self._beside(text, by_rules=True)

    async def _beside(self, text: str, *, by_rules: bool) -> MapReply:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.pool, self._in_thread, text, by_rules)

    def _in_thread(self, text: str, by_rules: bool) -> MapReply:
        if not hasattr(self.threads, "engine"):
            self.threads.engine = Engine(self.parts)
        engine: Engine = self.threads.engine
        return engine.by_rules(text) if by_rules else engine.map(text)
