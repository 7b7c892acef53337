"""A real vLLM server for tests, from the environment that ``make test-vllm`` installs."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.encoder.vllm_backend import VllmAddress, wait_until_up
from trimtab.supervisor.ports import free_port
from trimtab.supervisor.vllm import DEFAULT_PYTHON, spec

_START_S = 400.0
_STOP_S = 30.0


@contextmanager
def vllm_server(folder: Path) -> Iterator[str]:
    """Run a server on a free port of the loopback interface and yield its address; else skip."""
    python = Path(__file__).parents[2] / DEFAULT_PYTHON
    if not python.is_file():
        pytest.skip("no vLLM environment here; `make test-vllm` makes it")
    port = free_port()
    planned = spec(python, port)
    with (folder / "vllm.log").open("ab") as log:
        process = subprocess.Popen(
            planned.arguments,
            env=os.environ | planned.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
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
