"""Wiring of the encoder: settings -> component or vLLM server -> endpoint."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from services.encoder.backend import EncoderBackend
from services.encoder.build_process import build_apart
from services.encoder.cache import TextCache
from services.encoder.component import open_component
from services.encoder.encoding import ENDPOINT, Encoder
from services.encoder.probe import prove
from services.encoder.settings import EncoderSettings
from services.encoder.sparse.model import SparseModel, open_model
from trimtab.artifacts.manifest import ArtifactError
from trimtab.artifacts.store import provide
from trimtab.bus.server import Endpoint
from trimtab.contracts import subjects
from trimtab.contracts.encode import EncodeRequest
from trimtab.contracts.samples import Readiness
from trimtab.control.effective import chosen
from trimtab.control.feed import ControlFeed
from trimtab.worker.service import Worker
from trimtab.worker.settings import DeploymentSettings

if TYPE_CHECKING:
    from services.encoder.vllm_backend import VllmBackend

SERVICE = "encoder"

_VLLM_START_S = 600.0


def build(deployment: DeploymentSettings, settings: EncoderSettings) -> Worker:
    """Return the worker; it connects to nothing before it runs."""
    wiring = _Wiring(settings)
    return Worker(
        service=SERVICE,
        description="Text to unit vectors, and to token vectors for late interaction.",
        deployment=deployment,
        settings=settings,
        load=wiring.load,
        unload=wiring.unload,
        stage="encode",
        # A worker that speaks to a vLLM server serves what that server holds, and nothing else.
        load_component=None if settings.vllm_url else wiring.serve,
        unload_component=wiring.let_go,
    )


@dataclass
class _Wiring:
    """What ``load`` makes and ``unload`` closes."""

    settings: EncoderSettings
    encoders: list[Encoder] = field(default_factory=list)
    facts: dict[str, dict[str, float | int | str]] = field(default_factory=dict)
    model: SparseModel | None = None

    async def load(self, worker: Worker) -> None:
        """Serve the component of the settings."""
        await self.serve(worker, self.settings.reference)

    async def serve(self, worker: Worker, reference: str) -> None:
        """Load a component beside the others, prove its vectors, add its endpoint."""
        backend, content_hash = await self._backend(worker, reference)
        proof = await asyncio.to_thread(prove, backend)
        cache = TextCache(self.settings.cache_entries, self.settings.cache_mb << 20)
        chosen_texts = partial(batch_texts, worker.controls)
        sparse = await self._sparse(worker)
        encoder = Encoder(
            reference, content_hash, backend, cache, worker.sampler, sparse, chosen_texts
        )
        encoder.batcher.start()
        self.encoders.append(encoder)
        self.facts[reference] = {
            "namespace": backend.namespace,
            "dimension": proof.dimension,
            "profile": backend.profile,
            "max_tokens": backend.max_tokens,
            "token_vectors": int(backend.gives_tokens),
            "probe_norm": proof.mean_norm,
        }
        worker.identity.facts.update(self.facts[reference])
        worker.identity.facts[f"namespace.{reference}"] = backend.namespace
        worker.identity.facts[f"dimension.{reference}"] = proof.dimension
        worker.serve(
            Endpoint(ENDPOINT, subjects.encode(reference), EncodeRequest, encoder.encode, reference)
        )
        worker.loaded(reference, content_hash)

    async def let_go(self, worker: Worker, reference: str) -> None:
        """Let go of a component that no release names any more."""
        leaving = [each for each in self.encoders if each.component == reference]
        self.encoders = [each for each in self.encoders if each not in leaving]
        for encoder in leaving:
            await encoder.batcher.stop()
            encoder.backend.close()
        del self.facts[reference]
        for key in ("namespace", "dimension"):
            worker.identity.facts.pop(f"{key}.{reference}", None)
        for facts in self.facts.values():  # the newest of those that are left
            worker.identity.facts.update(facts)

    async def unload(self, _worker: Worker) -> None:
        """Compute what is queued, then let go of the model."""
        for encoder in self.encoders:
            await encoder.batcher.stop()
            encoder.backend.close()

    async def _sparse(self, worker: Worker) -> SparseModel | None:
        """Return the model of learned sparse vectors, loaded once for all components.

        None: none is configured, or it cannot be trusted or found, and the worker is degraded.
        """
        reference = self.settings.sparse
        if not reference or self.model is not None:
            return self.model
        components = worker.deployment.home / "components"
        pruning, threads = self.settings.pruning, self.settings.threads
        try:
            folder, _ = await provide(worker.connection, reference, components)
            self.model = await asyncio.to_thread(open_model, folder, pruning, threads)
        except ArtifactError as error:
            # Searches go on with their other legs, and the worker says what is missing.
            worker.log.warning("sparse_refused", component=reference, error=type(error).__name__)
            worker.feel(Readiness.DEGRADED, f"no learned sparse vectors: {error}")
            return None
        worker.identity.facts["sparse"] = str(self.model.space)
        return self.model

    async def _backend(self, worker: Worker, reference: str) -> tuple[EncoderBackend, str]:
        report = _reporter(worker)
        if self.settings.vllm_url:
            backend = await asyncio.to_thread(_connect, self.settings, report)
            return backend, await asyncio.to_thread(lambda: backend.content_hash)
        components = worker.deployment.home / "components"
        folder, manifest = await provide(
            worker.connection,
            reference,
            components,
            lambda reference, into: build_apart(reference, into, report),
        )
        component = await asyncio.to_thread(open_component, folder, self.settings.threads)
        return component, manifest.hash


def batch_texts(feed: ControlFeed) -> int | None:
    """Return the most texts per model call that an operator or the stable release chose; None: nobody did."""
    controls = feed.current
    if controls is None:
        return None
    found = chosen(controls, "encoder.batch_texts", controls.release, now=time.time())
    return None if found is None else int(found)


def _reporter(worker: Worker) -> Callable[[str], None]:
    """Progress of a start is the reason why the worker is not ready yet; a later load is no reason."""

    def report(line: str) -> None:
        if worker.identity.readiness is Readiness.STARTING:
            worker.feel(Readiness.STARTING, line)

    return report


def _connect(settings: EncoderSettings, report: Callable[[str], None]) -> "VllmBackend":
    from services.encoder.vllm_backend import VllmAddress, VllmBackend, wait_until_up

    key = settings.vllm_api_key_file
    address = VllmAddress(
        settings.vllm_url,
        settings.vllm_model,
        key.read_text().strip() if key is not None else "",
        settings.vllm_timeout_s,
    )
    wait_until_up(address, _VLLM_START_S, report)
    return VllmBackend.connect(
        address, settings.vllm_namespace, settings.vllm_max_tokens, settings.vllm_tokenizer
    )
