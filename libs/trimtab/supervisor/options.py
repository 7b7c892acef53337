"""What the user asked `trimtab up` for, as one value that a detached supervisor receives as JSON."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

SERVICES = ("controller", "encoder", "retriever", "reranker", "mapper", "gateway")
"""Every service, in the order of their start within a tier; each is `python -m services.<name>`."""

Encoder = Literal["int8", "fp32", "openvino", "vllm"]

Port = Annotated[int, Meta(ge=0, le=65535)]

MAX_WORKERS = 64


class UpOptions(msgspec.Struct, frozen=True, kw_only=True):
    """One start of a deployment."""

    home: str
    """Absolute path of the home folder."""
    nats_port: Port = 4222
    """0 takes a free one."""
    http_port: Port = 8080
    """0 takes a free one."""
    workers: dict[str, int] = {}
    """Processes per service; 1 where nothing is said."""
    corpus: Literal["stdlib", "none"] = "stdlib"
    """What to ingest when it is not there yet."""
    corpus_modules: tuple[str, ...] = ()
    """Only these modules of the standard library; empty takes all."""
    encoder: Encoder = "int8"
    """What encodes: a profile of the shipped model, or a vLLM server."""
    encoder_url: str = ""
    """A vLLM server that already runs; empty starts one when vLLM encodes."""
    encoder_tokenizer: str = ""
    """``tokenizer.json`` of the server's model; empty asks the server to count tokens."""
    vllm_python: str = ""
    """Interpreter of the environment that holds vLLM; its pins exclude ours."""
    timeout_s: Annotated[float, Meta(gt=0)] = 180.0
    """Longest time until every process is ready."""

    def count(self, service: str) -> int:
        """Return how many processes of a service run."""
        return self.workers.get(service, 1)


def parse_workers(values: list[str]) -> dict[str, int]:
    """Read ``encoder=2`` pairs.

    Raises:
        ValueError: says which pair is wrong and what would be right.
    """
    counts: dict[str, int] = {}
    for value in values:
        service, _, number = value.partition("=")
        if service not in SERVICES:
            raise ValueError(f"unknown service {service!r}; known: {', '.join(SERVICES)}")
        if not number.isdigit() or not 1 <= int(number) <= MAX_WORKERS:
            raise ValueError(f"{value!r}: write {service}=N with N from 1 to {MAX_WORKERS}")
        if service == "gateway" and int(number) != 1:
            raise ValueError("gateway=1: its HTTP port cannot be shared; start others by hand")
        counts[service] = int(number)
    return counts
