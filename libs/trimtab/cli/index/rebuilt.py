"""How far a rebuild came and what it took, for people and for scripts."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from trimtab.cli import judged
from trimtab.cli.index import built as result
from trimtab.cli.output import print_json, stdout
from trimtab.evaluation.gates import Gate


@dataclass
class Rebuilt:
    """How far it came."""

    built: dict[str, Any]
    """What the builder says."""
    gates: list[Gate]
    """All that were judged."""
    state: str = "refused"
    """``refused``, ``dry_run``, ``loaded``, ``swapped`` or ``lagging``."""
    release: str = ""
    """The new release; empty before it was made."""
    previous: str = ""
    """What served before."""
    workers: list[str] | None = None
    """Retrievers that hold it beside the live one."""
    proof: dict[str, Any] | None = None
    """The verification beside the live one."""
    revision: int = 0
    """At which it serves."""
    deleted: bool = False
    """Whether the new release was taken back, for it did not verify."""
    spare: str = ""
    """A release that the swap left without a role: deleting it frees the memory of its index."""
    nprobe_set: int | None = None
    """What an operator set for every release, so that a rollback does not take it back; None: nobody."""
    took_s: dict[str, float] = field(default_factory=dict)
    """Seconds of each phase: ``build``, ``store``, ``load``, ``verify``, ``swap``."""

    @property
    def ok(self) -> bool:
        """Whether everything that was asked for was done."""
        return self.state in ("dry_run", "loaded", "swapped")

    def shape(self) -> dict[str, Any]:
        """Return it for scripts."""
        return {
            "ok": self.ok,
            "state": self.state,
            "gates": [gate.shape() for gate in self.gates],
            "release": self.release,
            "previous": self.previous,
            "workers": self.workers,
            "proof": self.proof,
            "revision": self.revision,
            "deleted": self.deleted,
            "spare": self.spare,
            "nprobe_set": self.nprobe_set,
            "took_s": self.took_s,
            **self.built,
        }

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Note how long the block takes."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.took_s[name] = round(time.monotonic() - began, 3)


def show(done: Rebuilt, *, as_json: bool) -> None:
    """Print it: figures and gates for people, or everything as one JSON value."""
    if as_json:
        print_json(done.shape())
        return
    result.show(done.built)
    judged.show_gates(done.gates)
    said = {
        "refused": "refused: what serves goes on serving",
        "dry_run": "dry run: nothing was stored, nothing changed",
        "loaded": f"loaded beside the live one; `trimtab canary start {done.release}` ramps it",
        "swapped": f"{done.release} serves since revision {done.revision}; `trimtab rollback` "
        f"returns to {done.previous}",
        "lagging": f"written at revision {done.revision}, but not every worker obeys; `trimtab status`",
    }
    took = ", ".join(f"{name} {took_s:.1f} s" for name, took_s in done.took_s.items())
    for line in (f"{said[done.state]} ({took})", *_after(done)):
        stdout().print(line, markup=False, soft_wrap=True)


def _after(done: Rebuilt) -> Iterator[str]:
    """Yield what is left to know once it serves."""
    if done.nprobe_set is not None:
        yield (
            f"nprobe {done.nprobe_set} was set for every release and holds for both indexes, also after a "
            "rollback; `trimtab index sweep` finds the best of what serves"
        )
    if done.spare:
        yield f"`trimtab release delete {done.spare}` frees the memory of the index before these two"
