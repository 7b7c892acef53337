"""The folder that one deployment keeps its state in, and what lies where below it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "TRIMTAB_HOME"


@dataclass(frozen=True, slots=True)
class Home:
    """Paths of one deployment; nothing is created by asking for them."""

    root: Path
    """Absolute."""

    @classmethod
    def find(cls, environment: Mapping[str, str] = os.environ, cwd: Path | None = None) -> "Home":
        """Return ``$TRIMTAB_HOME``, else ``./var`` in a checkout, else ``~/.trimtab``."""
        named = environment.get(VARIABLE)
        if named:
            return cls(Path(named).expanduser().absolute())
        here = (cwd or Path.cwd()).absolute()
        if is_checkout(here):
            return cls(here / "var")
        return cls(Path.home() / ".trimtab")

    @property
    def state(self) -> Path:
        """Who runs and where they listen, while a supervisor runs."""
        return self.root / "run" / "up.json"

    @property
    def lock(self) -> Path:
        """Held by the running supervisor."""
        return self.root / "run" / "up.lock"

    @property
    def logs(self) -> Path:
        """One file per process."""
        return self.root / "logs"

    @property
    def nats_config(self) -> Path:
        """Generated at each start."""
        return self.root / "run" / "nats-server.conf"

    @property
    def nats_store(self) -> Path:
        """JetStream's files."""
        return self.root / "nats"

    @property
    def corpus_marker(self) -> Path:
        """Says which shipped corpus was ingested to its end."""
        return self.root / "run" / "corpus.json"

    def prepare(self) -> None:
        """Make the folders.

        Raises:
            OSError: the folder cannot be written.
        """
        for folder in (self.state.parent, self.logs, self.nats_store):
            folder.mkdir(parents=True, exist_ok=True)


def is_checkout(folder: Path) -> bool:
    """Return whether the folder is a working copy of this project."""
    return all((folder / part).exists() for part in ("pyproject.toml", "libs/trimtab", "services"))
