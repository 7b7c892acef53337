"""A pid alone proves nothing: start time tells a process from a later one with the same number."""

import os
import signal
import subprocess
import sys

from trimtab.supervisor.processid import ProcessId


def sleeper() -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


def test_a_running_process_is_alive_and_the_same_when_asked_again() -> None:
    mine = ProcessId.mine()

    assert mine.alive()
    assert ProcessId.of(os.getpid()) == mine


def test_another_start_time_is_another_process() -> None:
    stranger = ProcessId(pid=os.getpid(), started="long ago")

    assert not stranger.alive()
    assert not stranger.send(signal.SIGKILL)


def test_a_zombie_is_not_alive() -> None:
    with sleeper() as child:
        identity = ProcessId.of(child.pid)
        assert identity is not None
        child.kill()
        # Waits for the end without collecting the status, so that it stays a zombie.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

        assert not identity.alive()


def test_a_signal_reaches_a_living_process_only() -> None:
    with sleeper() as child:
        identity = ProcessId.of(child.pid)
        assert identity is not None

        assert identity.send(signal.SIGTERM)
        assert child.wait() == -signal.SIGTERM
        assert not identity.send(signal.SIGTERM)


def test_nobody_has_a_pid_beyond_the_systems_range() -> None:
    assert ProcessId.of(2**30) is None
