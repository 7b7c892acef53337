"""The facts of an index: sizes, norms of every vector and of every copy, and a sample by seed."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from services.retriever.edition import Edition
from services.retriever.inspection import inspect
from services.retriever.lanes import Lanes
from services.retriever.querymodel.choice import QueryModels
from services.retriever.querymodel.model import Mean, Vectors
from tests.unit.retriever.corpora import DIMENSION, build, clustered, train
from trimtab.contracts.inspect import InspectReply, InspectRequest

VECTORS = clustered(np.random.default_rng(4), 300, 12)
OWNERS = ["public", "acme", "globex"] * 100


async def facts_of(
    edition: Edition,
    tenant: str = "public",
    reply_bytes: int = 700_000,
    models: QueryModels | None = None,
    **asked: float,
) -> InspectReply:
    lanes = Lanes()
    request = msgspec.convert({"collection": "docs", **asked}, InspectRequest)
    try:
        return await inspect(
            edition,
            request,
            tenant,
            lanes,
            Path("nowhere"),
            reply_bytes,
            QueryModels() if models is None else models,
        )
    finally:
        lanes.close()


class Long(Mean):
    """A query model whose outputs are a little too long."""

    reference = "long@1"

    def vector(self, window: Vectors) -> Vectors:
        return super().vector(window) * np.float32(1.001)


class Elsewhere(Long):
    """A query model of another space."""

    reference = "elsewhere@1"

    def fits(self, namespace: str, dimension: int) -> bool:
        return False


async def test_outputs_of_every_query_model_of_the_space_are_looked_at() -> None:
    edition, _ = build(VECTORS)
    tiny, _ = build(VECTORS[:4])
    models = QueryModels([Long(), Elsewhere()])

    found = (await facts_of(edition, models=models)).models
    patient = (await facts_of(edition, models=models, tolerance=0.01)).models

    assert {name: facts.beyond for name, facts in found.items()} == {"mean": 0, "long@1": 32}
    assert found["long@1"].mean == pytest.approx(1.001, abs=1e-6)
    assert found["mean"].count == 32
    assert patient["long@1"].beyond == 0
    assert (await facts_of(tiny, models=models)).models == {}


async def test_an_exact_index_has_no_lists() -> None:
    edition, _ = build(VECTORS)

    facts = await facts_of(edition)

    assert (facts.kind, facts.passages, facts.dimension, facts.index) == (
        "flat",
        300,
        DIMENSION,
        "docs@300",
    )
    assert (facts.lists, facts.listed, facts.copies, facts.imbalance) == ([], 0, None, 0.0)
    assert (facts.stored.count, facts.stored.beyond) == (300, 0)
    assert (facts.snapshot, facts.snapshot_sequence, facts.sample) == ("", 0, None)


async def test_every_vector_and_every_copy_in_the_lists_is_looked_at() -> None:
    edition, _ = build(VECTORS)
    train(edition, 17)

    facts = await facts_of(edition)

    assert facts.kind == "ivf"
    assert len(facts.lists) == 17
    assert facts.lists == sorted(facts.lists, reverse=True)
    assert sum(facts.lists) == facts.listed == facts.passages == 300
    assert facts.copies is not None
    assert (facts.copies.count, facts.copies.beyond) == (300, 0)
    assert facts.copies.mean == pytest.approx(facts.stored.mean, abs=1e-12)
    assert facts.imbalance == pytest.approx(17 * sum(n**2 for n in facts.lists) / 300**2)


async def test_a_stored_vector_that_is_not_of_unit_length_is_found() -> None:
    wrong = VECTORS.copy()
    wrong[5] *= np.float32(1.001)
    wrong[250] *= np.float32(0.9)
    edition, _ = build(wrong)
    train(edition, 9)

    facts = await facts_of(edition)
    patient = await facts_of(edition, tolerance=0.01)

    assert facts.stored.beyond == 2
    assert facts.copies is not None
    assert facts.copies.beyond == 2
    assert patient.stored.beyond == 1
    assert facts.stored.least == pytest.approx(0.9, abs=1e-5)


async def test_a_sample_is_chosen_by_the_seed_from_what_the_tenant_sees() -> None:
    edition, stored = build(VECTORS, tenants=OWNERS)

    one, same, other = [await facts_of(edition, "acme", sample=40, seed=s) for s in (1, 1, 2)]

    assert one.sample is not None
    assert other.sample is not None
    assert one.sample == same.sample
    assert one.sample.ids != other.sample.ids
    assert len(one.sample.ids) == 40
    owners = {OWNERS[int(name[1:])] for name in one.sample.ids}
    assert owners == {"public", "acme"}
    expected = np.stack([stored[int(name[1:])].vector for name in one.sample.ids])
    np.testing.assert_array_equal(one.sample.vectors.array(), expected)


async def test_a_sample_fits_the_message() -> None:
    edition, _ = build(VECTORS)

    facts = await facts_of(edition, reply_bytes=20 * 4 * DIMENSION, sample=200)

    assert facts.sample is not None
    assert len(facts.sample.ids) == 20
