"""Starts a program that the system kills when the process that asked for it dies, even by kill -9.

Run as a script: ``python -I -S lifeline.py PARENT PROGRAM ARGUMENT...``. It asks Linux for the signal
(prctl PR_SET_PDEATHSIG) and becomes the program by exec, which keeps the request and the pid. A
``preexec_fn`` would do the same between fork and exec, where a process with threads must run no Python.
Systems without prctl get no such signal; there workers watch their parent (TRIMTAB_PARENT_PID) and the
next ``trimtab up`` ends what ``up.json`` names.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def command(arguments: list[str]) -> list[str]:
    """Return the command line that runs ``arguments`` tied to the life of this process."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *arguments]


def _become(parent: int, arguments: list[str]) -> None:
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        # It died before the request was in place; nobody would tell us any more.
        sys.exit(0)
    try:
        os.execvp(arguments[0], arguments)  # noqa: S606 - the command comes from the supervisor
    except OSError as error:
        sys.exit(f"cannot start {arguments[0]}: {error.strerror}")


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
