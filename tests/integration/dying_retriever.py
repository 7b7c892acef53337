"""A retriever that kills itself with SIGKILL at one named point, once a file says that it may.

``python -m tests.integration.dying_retriever``: the service itself, with one of its own functions wrapped. The
environment names the point (``DYING_POINT``) and the file (``DYING_ARMED``).
"""

import importlib
import inspect
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

Wrap = Callable[[Any, Callable[[], None]], Any]


def before(original: Any, die: Callable[[], None]) -> Any:
    """Die instead of the call."""

    def wrapped(*arguments: Any, **named: Any) -> Any:
        die()
        return original(*arguments, **named)

    return wrapped


def after(original: Any, die: Callable[[], None]) -> Any:
    """Die as soon as the call is over."""
    if inspect.iscoroutinefunction(original):

        async def awaited(*arguments: Any, **named: Any) -> Any:
            result = await original(*arguments, **named)
            die()
            return result

        return awaited

    def wrapped(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        die()
        return result

    return wrapped


def torn(original: Any, die: Callable[[], None]) -> Any:
    """Die in the middle of writing the file that the last argument names."""

    def wrapped(*arguments: Any) -> Any:
        result = original(*arguments)
        path = arguments[-1]
        os.truncate(path, path.stat().st_size // 2)
        die()
        return result

    return wrapped


BATCH: dict[str, tuple[str, str, Wrap]] = {
    "the batch was heard": ("catalogue:Catalogue", "apply", before),
    "a collection was begun": ("passages.store:Store", "add_collection", after),
    "before the transaction": ("passages.store:Store", "apply", before),
    "in the transaction, after a passage": ("passages.store:Store", "_insert", after),
    "in the transaction, after a removal": ("passages.store:Store", "_remove", after),
    "in the transaction, before the commit": ("passages.store:Store", "_set_meta", after),
    "after the commit": ("passages.store:Store", "apply", after),
    "before any index": ("passages.intake:Intake", "take", after),
    "after a removal from the indexes": ("passages.collection:Collection", "remove", after),
    "after a passage in the indexes": ("passages.collection:Collection", "apply", after),
    "the batch was applied": ("catalogue:Catalogue", "apply", after),
}
"""While a batch of upserts and removals is applied."""

SNAPSHOT: dict[str, tuple[str, str, Wrap]] = {
    "before the store is flushed": ("passages.store:Store", "flush", before),
    "after the store was flushed": ("passages.store:Store", "flush", after),
    "in the middle of the index file": ("dense.ivf:IvfLists", "write", torn),
    "before the manifest": ("dense.snapshot:", "write_manifest", before),
    "after the manifest": ("dense.snapshot:", "write_manifest", after),
    "before the rename": ("pathlib:Path", "rename", before),
    "after the rename": ("pathlib:Path", "rename", after),
    "before older snapshots are removed": ("shutil:", "rmtree", before),
    "in the middle of removing an older one": ("os:", "unlink", after),
    "after older snapshots were removed": ("shutil:", "rmtree", after),
    "before the store is closed": ("passages.store:Store", "close", before),
}
"""While a snapshot is written and the older one removed, at an orderly stop."""

_STANDARD = ("pathlib", "shutil", "os")


def prepare(point: str, armed: Path) -> None:
    """Wrap the function of a point."""
    place, attribute, wrap = {**BATCH, **SNAPSHOT}[point]
    module, _, inside = place.partition(":")
    path = module if module in _STANDARD else f"services.retriever.{module}"
    owner: Any = importlib.import_module(path)
    owner = getattr(owner, inside) if inside else owner

    def die() -> None:
        if armed.exists():
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, attribute, wrap(getattr(owner, attribute), die))


def main() -> None:
    """Run the service until its point comes."""
    from services.retriever.app import build
    from services.retriever.settings import RetrieverSettings
    from trimtab.worker.service import run
    from trimtab.worker.settings import DeploymentSettings

    prepare(os.environ["DYING_POINT"], Path(os.environ["DYING_ARMED"]))
    run(lambda: build(DeploymentSettings.load(), RetrieverSettings.load()))


if __name__ == "__main__":
    main()
