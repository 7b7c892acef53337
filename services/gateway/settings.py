"""Settings of the gateway: ``GATEWAY_*``."""

from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from trimtab.worker.settings import WorkerSettings


class GatewaySettings(WorkerSettings):
    """What an operator may choose for a gateway."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_")

    max_in_flight: int = Field(default=64, ge=1, le=100_000)
    """Requests held at once, HTTP and NATS each; one more is answered 429 immediately.

    More than the stages answer within the deadline only turns refusals into late answers: at four times
    the capacity, 256 made 13-20 % of the requests miss their deadline of 2 s, 64 made 0-5 %, 32 none (measured
    on 2 cores that had other work).
    """
    api_host: str = "127.0.0.1"
    """Where the HTTP facade listens."""
    api_port: int = Field(default=8080, ge=0, le=65535)
    """Port of the HTTP facade; 0 takes a free one, which the samples name."""
    auth: Literal["auto", "off", "required"] = "auto"
    """Whether HTTP callers need an API key; auto: where ``api_host`` is more than this machine."""
    requests_per_minute: int = Field(default=600, ge=1, le=10_000_000)
    """HTTP requests a minute of one API key; a batch costs what is in it."""
    failures_per_minute: int = Field(default=60, ge=1, le=10_000_000)
    """Requests a minute of one address that bring no valid key, before they are not even looked at."""
    pool: int = Field(default=50, ge=1, le=200)
    """Candidates fetched for the reranker."""
    search_budget_ms: int = Field(default=2000, ge=10, le=120_000)
    """Deadline of a search or map over HTTP that names none."""
    ingest_budget_ms: int = Field(default=60_000, ge=100, le=600_000)
    """Deadline of a documents request over HTTP."""
    sessions: int = Field(default=4096, ge=0, le=1_000_000)
    """Sessions whose last three query vectors are remembered, about 5 KB each; 0 remembers none."""
    session_ttl_s: float = Field(default=1800, gt=0, le=86_400)
    """How long a session is remembered after its last query."""
    feedback_share: float = Field(default=0.01, ge=0, le=1)
    """Share of searches whose orders are remembered until somebody says what was right; 1 for an experiment."""
    feedback_searches: int = Field(default=2000, ge=0, le=1_000_000)
    """Most searches remembered for it, about 10 KB each."""
    feedback_ttl_s: float = Field(default=900, gt=0, le=86_400)
    """How long a search is remembered for it."""
    health_window_s: float = Field(default=0.2, gt=0, le=5)
    """How long ``/health`` waits for the workers' answers."""
    explain_sample: float = Field(default=0.01, ge=0, le=1)
    """Share of the searches whose explanation is kept for `trimtab explain`, unasked; 0 keeps none."""

    jobs_at_once: int = Field(default=8, ge=0, le=1000)
    """Jobs of each priority worked on at once; 0 leaves them to other gateways."""
    job_tries: int = Field(default=5, ge=1, le=100)
    """Times a job is tried before it becomes a dead letter."""
    job_retry_s: float = Field(default=1.0, gt=0, le=60)
    """Seconds before the second try; each further wait is twice as long, at most a minute."""
    idempotency_ttl_s: float = Field(default=600, ge=1, le=86_400)
    """How long the answer to a request with an ``Idempotency-Key`` is kept; the first gateway decides for all."""
    max_payload_kib: int = Field(default=64, ge=4, le=1024)
    """Largest mapping request, KiB: HTTP body or NATS message."""
    reject_raw_content: bool = True
    """Whether outputs that look like a document or like encoded data are refused."""
    free_text_detectors: str = "text"
    """Detectors whose outputs may be free text all the same, with commas between."""

    @property
    def keys_required(self) -> bool:
        """Whether an API key must come."""
        loopback = self.api_host in ("127.0.0.1", "::1", "localhost")
        return self.auth == "required" or (self.auth == "auto" and not loopback)
