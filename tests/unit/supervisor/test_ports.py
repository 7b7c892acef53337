"""Ports: free ones are found, taken ones are named with their holder."""

import os
import socket
import sys

import pytest

from trimtab.supervisor import ports


def test_a_port_that_somebody_listens_on_is_not_free_and_its_holder_is_named() -> None:
    with socket.create_server((ports.HOST, 0)) as server:
        port = server.getsockname()[1]

        assert not ports.is_free(port)
        if sys.platform == "linux":
            assert f"(pid {os.getpid()})" in (ports.holder(port) or "")


def test_a_free_port_can_be_listened_on() -> None:
    port = ports.free_port()

    assert ports.is_free(port)
    with socket.create_server((ports.HOST, port)):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nobody_holds_a_free_port() -> None:
    assert ports.holder(ports.free_port()) is None
