"""Writes ``up.json`` as processes come and go, so that every command finds what runs now."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from trimtab.supervisor import plan, state
from trimtab.supervisor.options import UpOptions
from trimtab.supervisor.process import ManagedProcess
from trimtab.supervisor.processid import ProcessId
from trimtab.supervisor.state import Running, UpState


@dataclass
class Announcement:
    """The state file of one running deployment."""

    path: Path
    options: UpOptions
    """With decided ports."""
    ready: bool = False
    """Whether everything was ready once."""
    _since: float = field(default_factory=time.time)

    def write(self, processes: list[ManagedProcess]) -> None:
        """Replace the file by what is true now."""
        nats_url, http_url = plan.urls(self.options)
        running = [
            Running(
                name=process.spec.name,
                process=process.identity,
                log=str(process.log),
                restarts=process.restarts,
            )
            for process in processes
            if process.identity is not None
        ]
        state.write(
            self.path,
            UpState(
                supervisor=ProcessId.mine(),
                home=self.options.home,
                nats_url=nats_url,
                http_url=http_url,
                since=self._since,
                ready=self.ready,
                processes=running,
            ),
        )

    def remove(self) -> None:
        """Say that nothing runs any more."""
        self.path.unlink(missing_ok=True)
