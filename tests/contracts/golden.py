"""The golden bytes of every contract: what releases that already run send and expect."""

import json
from pathlib import Path

from tests.contracts.catalogue import wire
from tests.contracts.examples import examples

PATH = Path(__file__).parent / "golden" / "messages.json"


def render() -> str:
    """Return the golden file of the examples as they encode today: class name -> hex."""
    lines = {name: wire(value).hex() for name, value in sorted(examples().items())}
    return json.dumps(lines, indent=1) + "\n"


def stored() -> dict[str, bytes]:
    """Return the committed goldens by class name."""
    return {name: bytes.fromhex(hex_) for name, hex_ in json.loads(PATH.read_text()).items()}
