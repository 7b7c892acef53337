"""Further versions of the shipped mapper adapter, made for a drill and pushed as a trainer would push them."""

import json
import shutil
from pathlib import Path

from services.mapper.model.component import CALIBRATION, SHIPPED
from trimtab.artifacts.manifest import write_manifest
from trimtab.artifacts.store import ArtifactStore
from trimtab.client import Client

SHIPPED_ADAPTER = "safety-head@1"


def variant(into: Path, reference: str, *, confidence: float) -> Path:
    """Return a folder with the shipped adapter as ``reference``, every confidence times ``confidence``.

    Below 0.6 it answers nothing by itself any more: an adapter that is really bad, not one that says so.
    """
    folder = into / reference
    shutil.copytree(SHIPPED / SHIPPED_ADAPTER, folder)
    card = json.loads((folder / CALIBRATION).read_text())
    card["calibrated"] = [share * confidence for share in card["calibrated"]]
    (folder / CALIBRATION).write_text(json.dumps(card))
    name, _, version = reference.partition("@")
    write_manifest(folder, name=name, version=version, kind="mapper")
    return folder


async def push(client: Client, folder: Path) -> None:
    """Put a component's folder where every worker fetches from."""
    await (await ArtifactStore.open(client.connection)).push(folder)
