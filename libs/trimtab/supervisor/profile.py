"""Which encoder component a deployment runs, and the release that names it for every stage."""

import importlib.util
from pathlib import Path

import msgspec

from trimtab.contracts.component import Release
from trimtab.supervisor.home import Home
from trimtab.supervisor.options import Encoder

COMPONENTS: dict[Encoder, str] = {
    "int8": "minilm-int8@1",
    "fp32": "minilm-fp32@1",
    "openvino": "minilm-openvino@1",
    "vllm": "minilm-vllm@1",
}
"""Profile -> component: an index is built and queried with one declared profile, never two."""

DEFAULT: Encoder = "int8"


class NoShippedRelease(Exception):
    """The services are not installed beside this library."""


def shipped_release() -> Path:
    """Return the manifest that the controller writes at a first start.

    Raises:
        NoShippedRelease: the package of the controller is not there.
    """
    spec = importlib.util.find_spec("services")
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        path = Path(folder) / "controller" / "releases" / "base.json"
        if path.is_file():
            return path
    raise NoShippedRelease("the services are not installed here; run `pip install -e .[all]`")


def first_release(encoder: Encoder, home: Home) -> Path:
    """Return the first release's manifest; another profile than the default gets one of its own.

    Raises:
        NoShippedRelease: there is none to start from.
    """
    shipped = shipped_release()
    if encoder == DEFAULT:
        return shipped
    base = msgspec.json.decode(shipped.read_bytes(), type=Release)
    changed = msgspec.structs.replace(base, name=f"base-{encoder}", encode=COMPONENTS[encoder])
    path = home.state.parent / f"release-{encoder}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(changed), indent=2) + b"\n")
    return path
