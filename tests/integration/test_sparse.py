"""Learned sparse vectors through real processes: a tiny checkpoint from ingest to search, deletion and restart."""

import time
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pytest
import pytest_asyncio

from services.encoder.shipped import DEFAULT
from services.encoder.sparse.bring import make
from services.encoder.sparse.model import SparseModel, open_model
from services.encoder.sparse.pruning import Pruning
from services.retriever.plan import SHIPPED, load_plan
from tests.fleet import Fleet
from tests.integration import encoder_models
from tests.unit.encoder import checkpoints
from tests.unit.encoder.tiny import VOCABULARY
from tests.unit.retriever import stream
from trimtab.artifacts.store import ArtifactStore
from trimtab.bus.connection import connect
from trimtab.bus.ending import close
from trimtab.client import Client
from trimtab.contracts.documents import Document, PutReply
from trimtab.contracts.errors import ErrorCode, RemoteError
from trimtab.contracts.orders import Order, SetCommand
from trimtab.contracts.pipeline import SearchReply
from trimtab.contracts.samples import Readiness
from trimtab.contracts.sparse import SparseRow
from trimtab.control.execute import execute
from trimtab.control.store import ControlStore
from trimtab.control.tunables import SPARSE

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

PRUNING = Pruning(passage_terms=12, query_terms=8, cap=5.0)
TINY, OTHER = "tiny@1", "tiny@2"
_LETTERS = VOCABULARY[4:30]
QUERY = "q w e r t"


def texts(seed: int, count: int = 40) -> list[str]:
    """Passages of letters, which are the words that the tiny model knows."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(_LETTERS, size=7)) for _ in range(count)]


@dataclass
class Place:
    """A deployment whose plan searches by sparse vectors alone, and the model that its encoder may serve."""

    fleet: Fleet
    model: SparseModel

    async def serve(self, sparse: str) -> None:
        """Have one encoder with that component of sparse vectors; empty: with none."""
        wanted = f"encoder-{sparse.replace('@', '-') or 'plain'}"
        for member in self.fleet.of("encoder"):
            if member.instance.startswith(wanted):
                return
        await self.fleet.stop("encoder")
        self.fleet.spawn(
            "encoder",
            instance=f"{wanted}-{uuid.uuid4().hex[:6]}",
            sparse=sparse,
            sparse_passage_terms=str(PRUNING.passage_terms),
            sparse_query_terms=str(PRUNING.query_terms),
        )
        await self.fleet.ready()

    def exact(self, passages: Sequence[str], query: str = QUERY) -> list[float]:
        """Inner products by definition, of vectors as they are sent: pruned, weights of 16 bits."""
        asked = _dense(PRUNING.kept(self.model.encode([query])[0], "query"))
        rows = [PRUNING.kept(row, "passage") for row in self.model.encode(passages)]
        return [float(_dense(row) @ asked) for row in rows]


def _dense(row: SparseRow) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    whole = np.zeros(len(VOCABULARY))
    whole[row.ids] = row.weights.astype(np.float16)
    return whole


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    folder = tmp_path_factory.mktemp("sparse")
    plan, _ = load_plan(SHIPPED / "hybrid@1")
    shipped = stream.component(folder / "shipped", msgspec.structs.replace(plan, legs=("sparse",)))
    source = checkpoints.bert(folder / "checkpoint")
    made = [make(source, reference, folder) for reference in (TINY, OTHER)]
    fleet = Fleet(folder / "fleet")
    fleet.server.start()
    try:
        await fleet.start("controller")
        await _prepared(fleet, [encoder_models.folder(DEFAULT), *made])
        fleet.spawn("retriever", shipped=str(shipped))
        fleet.spawn("gateway")
        found = Place(fleet, open_model(made[0], PRUNING))
        await found.serve(TINY)
        yield found
    finally:
        fleet.close()


async def _prepared(fleet: Fleet, components: Sequence[Path]) -> None:
    connection = await connect(fleet.url, "test")
    store = await ArtifactStore.open(connection)
    for folder in components:
        await store.push(folder)
    command = SetCommand(name=SPARSE, value=1)
    order = Order(operation=uuid.uuid4().hex, command=command, actor="test", reason="test")
    await execute(await ControlStore.open(connection), order, now=time.time())
    await close(connection)


async def put(place: Place, collection: str, passages: dict[str, str]) -> PutReply:
    """Ingest and wait until every retriever finds it."""
    documents = [Document(id=name, text=text) for name, text in passages.items()]
    async with Client.connect(place.fleet.url) as client:
        reply = await client.put_documents(collection, documents, timeout_s=60)
        await client.wait_searchable(reply.sequence, timeout_s=60)
    return reply


async def search(place: Place, collection: str) -> SearchReply:
    async with Client.connect(place.fleet.url) as client:
        return await client.search(QUERY, collection=collection, limit=10, timeout_s=30)


async def finds_the_exact_best(place: Place, collection: str, held: dict[str, str]) -> None:
    """Scores decide: they are the exact products, the greatest being the plan's weight."""
    reply = await search(place, collection)
    products = dict(zip(held, place.exact(list(held.values())), strict=True))
    best = sorted(products.values(), reverse=True)[:10]
    scale = reply.results[0].score / best[0]
    assert [result.score / scale for result in reply.results] == pytest.approx(best, rel=1e-3)
    for result in reply.results:
        assert result.score / scale == pytest.approx(products[result.id], rel=1e-3)
    assert not [note for note in reply.degraded if note.startswith("sparse")]


async def test_sparse_alone_finds_what_an_exact_product_finds_through_deletion_and_kill(
    place: Place,
) -> None:
    await place.serve(TINY)
    held = {f"p{number}": text for number, text in enumerate(texts(1))}
    reply = await put(place, "letters", held)
    assert (reply.new, reply.degraded) == (40, [])
    await finds_the_exact_best(place, "letters", held)

    gone = [result.id for result in (await search(place, "letters")).results[:2]]
    async with Client.connect(place.fleet.url) as client:
        removed = await client.delete_documents("letters", ids=gone)
        await client.wait_searchable(removed.sequence, timeout_s=60)
    held = {name: text for name, text in held.items() if name not in gone}
    await finds_the_exact_best(place, "letters", held)

    [retriever] = place.fleet.of("retriever")
    shipped = place.fleet.folder.parent / "shipped"
    retriever.kill()
    place.fleet.spawn("retriever", instance=retriever.instance, shipped=str(shipped))
    await place.fleet.ready()
    await finds_the_exact_best(place, "letters", held)
    again = await put(place, "letters", held)
    assert (again.new, again.unchanged) == (0, 38)


async def test_without_a_model_the_vectors_answer_and_every_reply_says_so(place: Place) -> None:
    await place.serve("")
    held = {f"p{number}": text for number, text in enumerate(texts(2, 12))}

    stored = await put(place, "plain", held)
    found = await search(place, "plain")

    assert stored.degraded == ["sparse: no_model"]
    assert len(found.results) == 10
    assert "sparse: no_passages" in found.degraded

    await place.serve(TINY)
    late = await put(place, "plain", held)
    assert (late.new, late.degraded) == (12, []), "sending them again adds what was missing"
    await finds_the_exact_best(place, "plain", held)
    await place.serve("")
    assert "sparse: no_vector" in (await search(place, "plain")).degraded


async def test_vectors_of_another_space_are_refused_with_a_typed_error(place: Place) -> None:
    await place.serve(TINY)
    await put(place, "spaces", {"a": "a b c"})
    await place.serve(OTHER)

    for attempt in (put(place, "spaces", {"b": "d e f"}), search(place, "spaces")):
        with pytest.raises(RemoteError, match=r"learned_sparse\.tiny\.v2") as refused:
            await attempt
        assert refused.value.code == ErrorCode.INVALID


async def test_an_encoder_whose_model_cannot_be_had_serves_the_rest_and_says_so(
    place: Place,
) -> None:
    await place.serve("nowhere@1")
    [encoder] = place.fleet.of("encoder")

    [sample] = [each for each in await place.fleet.ready() if each.instance == encoder.instance]
    stored = await put(place, "nowhere", {"a": "a b c", "b": "q w e"})

    assert sample.readiness == Readiness.DEGRADED
    assert "nowhere@1" in sample.reason
    assert (stored.new, stored.degraded) == (2, ["sparse: no_model"])
    assert len((await search(place, "nowhere")).results) == 2
