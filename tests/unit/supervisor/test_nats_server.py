"""The generated server configuration: limits that matter, loopback only, nothing it cannot quote."""

import re
import subprocess
from pathlib import Path

import pytest

from trimtab.bus.local_server import binary
from trimtab.supervisor import nats_server

SHIPPED = Path(__file__).parents[3] / "deploy" / "nats" / "limits.conf"


def test_the_server_accepts_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "nats.conf"
    path.write_text(nats_server.config(tmp_path / "a folder", 4222))

    done = subprocess.run([binary(), "-t", "-c", path], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_it_listens_on_loopback_syncs_every_write_and_drops_frozen_clients(tmp_path: Path) -> None:
    text = nats_server.config(tmp_path, 4222)

    assert 'listen: "127.0.0.1:4222"' in text
    assert "sync_interval: always" in text
    assert 'ping_interval: "1s"' in text
    assert "ping_max: 2" in text
    assert 'write_deadline: "2s"' in text
    assert "max_payload: 1MB" in text


def test_the_shipped_configuration_has_the_same_limits() -> None:
    if not SHIPPED.exists():
        pytest.skip("deploy/nats/limits.conf is not part of this tree")
    shipped = SHIPPED.read_text()

    for key, value in (nats_server.LIMITS | nats_server.JETSTREAM_LIMITS).items():
        found = re.search(rf"^\s*{key}\s*[:=]?\s*(.+?)\s*(#.*)?$", shipped, re.MULTILINE)
        assert found is not None, key
        assert found[1].strip('"').lower() == value.strip('"').lower(), key


def test_a_path_that_cannot_be_quoted_is_refused() -> None:
    with pytest.raises(ValueError, match="line break"):
        nats_server.config(Path('a"b'), 4222)
