"""A Milvus of the test's own, as a process with a port: it can be killed and started again over the same data."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest


class MilvusServer:
    """``milvus-lite`` as a server; skips the test where it is not installed."""

    def __init__(self, folder: Path) -> None:
        pytest.importorskip("pymilvus", reason="pip install 'trimtab[retriever-milvus]'")
        pytest.importorskip("milvus_lite", reason="pip install milvus-lite")
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """Where it listens, also after a restart."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and return once it takes connections."""
        command = [sys.executable, "-m", "milvus_lite", "server", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--data-dir", str(self._folder / "milvus")]
        with (self._folder / "milvus.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        give_up = time.monotonic() + 60
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > give_up:
                raise AssertionError((self._folder / "milvus.log").read_text())
            time.sleep(0.05)

    def kill(self) -> None:
        """End it without warning."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _listens(self) -> bool:
        with socket.socket() as asking:
            asking.settimeout(1)
            return asking.connect_ex(("127.0.0.1", self.port)) == 0
