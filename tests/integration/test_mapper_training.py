"""A user's own labels, whole: imported, trained with a running encoder's vectors, pushed, served and asked."""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest
from nats.aio.client import Client as NatsClient

from services.mapper.app import build
from services.mapper.settings import MapperSettings
from tests.fleet import Fleet
from tests.workers import deployment, running
from trimtab.bus.caller import Caller
from trimtab.bus.connection import connect
from trimtab.bus.ending import close
from trimtab.contracts import subjects
from trimtab.contracts.encode import EncodeReply, EncodeRequest
from trimtab.contracts.headers import RequestContext, now_ms
from trimtab.contracts.mapping import MapReply, MapRequest
from trimtab.contracts.tensor import Matrix

pytestmark = pytest.mark.integration
pytest.importorskip("sklearn", reason="training needs the extra trimtab[train]")

_TRIMTAB = Path(sys.executable).with_name("trimtab").as_posix()
SPACE, ENCODER = "single_vector.minilm.384.v1", "minilm-int8@1"
LABELS = [
    {"id": "PET.Cat", "name": "Cat", "description": "A cat that purrs and hunts mice."},
    {"id": "PET.Dog", "name": "Dog", "description": "A dog that barks and fetches sticks."},
]
SAID = {
    "PET.Cat": [
        "it purrs on the sofa",
        "she chased a mouse",
        "it meowed",
        "the litter box is full",
    ],
    "PET.Dog": ["it barked at us", "he fetched the stick", "we walked it on a leash", "it growled"],
}


def mapper(fleet: Fleet, home: Path, *words: str) -> dict[str, object]:
    done = subprocess.run(
        [_TRIMTAB, "mapper", *words, "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TRIMTAB_HOME": str(home), "TRIMTAB_NATS_URL": fleet.url},
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, object] = json.loads(done.stdout)
    return told


async def vector(connection: NatsClient, text: str) -> Matrix:
    context = RequestContext(uuid.uuid4().hex, "public", now_ms() + 30_000)
    request = EncodeRequest(namespace=SPACE, texts=[text])
    asked = Caller(connection).call(subjects.encode(ENCODER), request, EncodeReply, context)
    return Matrix.of((await asked).message.vectors.array().astype(np.float32))


async def test_labels_of_ones_own_are_trained_pushed_and_served_without_code(
    fleet: Fleet, tmp_path: Path
) -> None:
    await fleet.start("encoder")
    home = tmp_path / "operator"
    (tmp_path / "pets.jsonl").write_text("\n".join(map(json.dumps, LABELS)))
    rows = [
        {"id": f"{label}-{n}", "text": text, "label": label, "group": str(n)}
        for label, texts in SAID.items()
        for n, text in enumerate(texts)
    ]
    (tmp_path / "said.jsonl").write_text("\n".join(map(json.dumps, rows)))

    words = ["taxonomy", "import", str(tmp_path / "pets.jsonl"), "--name", "pets"]
    imported = mapper(fleet, home, *words)
    words = ["train", "--taxonomy", "pets", "--examples", str(tmp_path / "said.jsonl")]
    trained = mapper(fleet, home, *words, "--name", "pets@3", "--push")

    (tmp_path / "detectors").mkdir()
    settings = MapperSettings(
        components=["pets@3"],
        taxonomy=Path(str(imported["file"])),
        detectors=tmp_path / "detectors",
        shipped=tmp_path / "nothing",
    )
    worker = build(deployment(fleet.server, tmp_path / "worker"), settings)
    async with running(worker):
        assert worker.identity.components == {"pets@3": trained["hash"]}
        connection = await connect(fleet.url, "test")
        try:
            text = "the dog barked and growled"
            context = RequestContext(uuid.uuid4().hex, "public", now_ms() + 30_000)
            request = MapRequest(
                taxonomy="pets",
                detector="text",
                output=text,
                vectors=await vector(connection, text),
                threshold=0.0,
            )
            subject = subjects.mapping("pets@3")
            reply = (await Caller(connection).call(subject, request, MapReply, context)).message
        finally:
            await close(connection)

    assert reply.taxonomy == ["PET.Dog"]
    assert reply.decided_by == "model"
    assert reply.versions["adapter"].startswith("pets@3+")
    assert reply.versions["taxonomy"] == imported["reference"]
