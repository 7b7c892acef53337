"""``python -m services.mapper.make_engine``: a language model's component, from its name and perhaps a LoRA adapter.

Asked for by `trimtab mapper engine`. Nothing is loaded and no server is asked: that does the worker.
"""

import argparse
import asyncio
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from services.mapper.command import add_json, finish, report
from services.mapper.definitions.document import DefinitionInvalid
from services.mapper.engines.card import (
    CARD,
    LORA,
    LORA_FILES,
    EngineCard,
    load_engine,
    save_engine,
)
from services.mapper.model.component import CalibrationCard
from services.mapper.train import push
from trimtab.supervisor.home import Home


def made(given: argparse.Namespace) -> dict[str, Any]:
    """Write the component and return what came out.

    Raises:
        DefinitionInvalid: a value or a file given makes no sense, or the folder holds another version.
        ArtifactError: the component could not be served as it is.
    """
    folder = given.out or Home.find().root / "adapters" / given.name
    if (folder / CARD).exists():
        raise DefinitionInvalid(
            folder, CARD, "is there already; a version never changes, take the next"
        )
    card = _card(given)
    calibration = _calibration(given.calibration)
    if given.adapter is not None:
        _copy_adapter(given.adapter, folder / LORA)
    manifest = save_engine(folder, given.name, card, calibration)
    files = load_engine(folder)
    return {
        "component": manifest.reference,
        "hash": manifest.hash,
        "folder": str(folder),
        "server": card.server,
        "adapter": files.lora,
    }


def _card(given: argparse.Namespace) -> EngineCard:
    told = {
        "kind": given.kind,
        "model": given.model,
        "candidates": given.candidates,
        "count": given.count,
        "instruction": given.instruction,
        "timeout_ms": given.timeout_ms,
        "endpoint": given.endpoint,
    }
    try:
        return msgspec.convert(told, type=EngineCard)
    except msgspec.ValidationError as error:
        raise DefinitionInvalid(Path(CARD), "card", str(error)) from None


def _calibration(path: Path | None) -> CalibrationCard | None:
    if path is None:
        return None
    try:
        card = msgspec.json.decode(path.read_bytes(), type=CalibrationCard)
        card.calibration()
    except (OSError, ValueError) as error:
        raise DefinitionInvalid(path, "calibration", str(error)) from None
    return card


def _copy_adapter(source: Path, into: Path) -> None:
    """Copy the two files of a LoRA adapter; whatever else lies beside them stays where it is."""
    missing = [name for name in LORA_FILES if not (source / name).is_file()]
    if missing:
        raise DefinitionInvalid(source, "adapter", f"lacks {', '.join(missing)}")
    into.mkdir(parents=True, exist_ok=True)
    for name in LORA_FILES:
        shutil.copyfile(source / name, into / name)


async def run(given: argparse.Namespace) -> dict[str, Any]:
    """Write the component and store it where that was asked for."""
    told = await asyncio.to_thread(made, given)
    if given.push:
        await push(given.nats, Path(told["folder"]))
        report(f"{told['component']} is in the deployment's store")
    return told


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    found = argparse.ArgumentParser(
        prog="python -m services.mapper.make_engine", description=__doc__
    )
    found.add_argument("--name", required=True, help="NAME@VERSION of the component")
    found.add_argument("--kind", required=True, help="openai or vllm")
    found.add_argument("--model", required=True, help="model name at the server")
    found.add_argument("--adapter", type=Path, help="folder of a LoRA adapter, as PEFT writes it")
    found.add_argument("--calibration", type=Path, help="JSON: what its probabilities are worth")
    found.add_argument(
        "--candidates", default="safety-head@1", help="component that retrieves labels"
    )
    found.add_argument("--count", type=int, default=8, help="labels to choose from")
    found.add_argument("--instruction", default="", help="a sentence before the task")
    found.add_argument(
        "--timeout-ms", type=int, default=1500, help="most that both rounds may take"
    )
    found.add_argument("--endpoint", default="", help="which server of MAPPER_ENDPOINTS")
    found.add_argument("--out", type=Path, help="folder; default: adapters/ in the home")
    found.add_argument("--push", action="store_true", help="store it in the deployment at --nats")
    found.add_argument("--nats", default="nats://127.0.0.1:4222", help="the deployment's bus")
    add_json(found)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 1 with one line on stderr when it cannot be done."""
    given = parser().parse_args(argv)

    def work() -> tuple[Any, list[str]]:
        told = asyncio.run(run(given))
        lines = [f"{told['component']}  {told['folder']}", f"server  {told['server']}"]
        return told, [*lines, f"adapter  {told['adapter'] or 'none'}"]

    return finish(work, as_json=given.json)


if __name__ == "__main__":
    sys.exit(main())
