"""A real vLLM server for tests, from the environment that ``make test-vllm`` installs."""

import dataclasses
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from services.encoder.vllm_backend import VllmAddress, wait_until_up
from tests.integration.model_server import BASE
from trimtab.supervisor.ports import HOST, free_port
from trimtab.supervisor.spec import ProcessSpec
from trimtab.supervisor.vllm import DEFAULT_PYTHON, spec

_START_S = 400.0
_STOP_S = 30.0


@contextmanager
def vllm_server(folder: Path) -> Iterator[str]:
    """Run an embedding server on a free port of the loopback interface and yield its address; else skip."""
    port = free_port()
    with serving(spec(python(), port), port, folder) as url:
        yield url


@contextmanager
def llama_server(folder: Path, model: Path) -> Iterator[str]:
    """Run a server of a chat model that takes adapters, and yield its address; else skip."""
    port = free_port()
    arguments = (
        *(str(python()), "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", str(model), "--served-model-name", BASE),
        *("--host", HOST, "--port", str(port)),
        # float16 has no fast path on CPUs; compiling would take longer than the tests.
        *("--dtype", "float32", "--enforce-eager", "--max-model-len", "2048"),
        *("--gpu-memory-utilization", "0.2", "--kv-cache-memory-bytes", str(128 * 2**20)),
        # A schema allows whitespace between its tokens, and a model that knows nothing writes no end of it.
        *("--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}'),
        *("--enable-lora", "--max-loras", "2", "--max-lora-rank", "8"),
    )
    planned = spec(python(), port)
    environment = {**planned.environment, "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"}
    chat = dataclasses.replace(planned, arguments=arguments, environment=environment)
    with serving(chat, port, folder) as url:
        _warm(url)
        yield url


def _warm(url: str) -> None:
    """Ask once for a constrained answer: the first one waits for kernels and grammars to be compiled."""
    body = {
        "model": BASE,
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 16,
        "structured_outputs": {"regex": '\\{"label": "(A|B)"\\}'},
    }
    with httpx.Client(base_url=url, trust_env=False, timeout=_START_S) as client:
        client.post("/v1/chat/completions", json=body).raise_for_status()


def python() -> Path:
    """Return the interpreter of the environment with vLLM; skips without one."""
    found = Path(__file__).parents[2] / DEFAULT_PYTHON
    if not found.is_file():
        pytest.skip("no vLLM environment here; `make test-vllm` makes it")
    return found


@contextmanager
def serving(planned: ProcessSpec, port: int, folder: Path) -> Iterator[str]:
    """Run a server and yield its address once it is healthy; its log lies in the folder."""
    with (folder / "vllm.log").open("ab") as log:
        process = subprocess.Popen(
            planned.arguments,
            env=os.environ | planned.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    url = f"http://{HOST}:{port}"
    try:
        wait_until_up(VllmAddress(url), _START_S, lambda line: _assert_runs(process, folder))
        yield url
    finally:
        _end(process)


def _assert_runs(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    if process.poll() is not None:
        tail = (folder / "vllm.log").read_text(errors="replace").splitlines()[-20:]
        pytest.fail(f"vLLM ended with {process.returncode}:\n" + "\n".join(tail))


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the server and its engine process, which are one process group of their own."""
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
