"""Makes an nkey for every role of ``deploy/nats/secure.conf``: seeds for the processes, public keys for the server.

Usage: ``python -m scripts.make_nkeys FOLDER`` writes ``FOLDER/<role>.nk`` (for ``TRIMTAB_NATS_NKEY_SEED``) and
``FOLDER/nats.env`` (for the server). A seed that is there already is kept.
"""

import os
import re
import sys
from pathlib import Path

import nkeys  # type: ignore[import-untyped]

CONFIGURATION = Path(__file__).parents[1] / "deploy" / "nats" / "secure.conf"


def roles(configuration: Path = CONFIGURATION) -> list[str]:
    """Return every role that the configuration asks a key for."""
    found = re.findall(r"nkey: \$NATS_NKEY_(\w+)", configuration.read_text())
    return sorted({role.lower() for role in found})


def new_seed() -> bytes:
    """Return the seed of a new user key."""
    seed: bytes = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
    return seed


def public_key(seed: bytes) -> str:
    """Return the public half, which the server is told."""
    key: bytes = nkeys.from_seed(bytearray(seed)).public_key
    return key.decode()


def make(folder: Path) -> dict[str, str]:
    """Write what is missing; return the server's environment."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {}
    for role in roles():
        path = folder / f"{role}.nk"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_bytes(new_seed())
        environment[f"NATS_NKEY_{role.upper()}"] = public_key(path.read_bytes())
    lines = [f"{name}={value}\n" for name, value in environment.items()]
    (folder / "nats.env").write_text("".join(lines))
    return environment


def main() -> None:
    """Make the keys in the folder that the command line names."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m scripts.make_nkeys FOLDER")
    make(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
