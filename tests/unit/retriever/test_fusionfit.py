"""What the fit of the fusion chooses, when it says that it helps, and what it writes."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from services.retriever.fit_fusion import parser, shape, write_component
from services.retriever.fusionfit import (
    RRF_KS,
    WEIGHTS,
    Judged,
    NothingToFit,
    best,
    fit,
    judged,
    quality,
    trains,
)
from services.retriever.plan import SHIPPED, FusionPlan, load_plan

BEFORE = FusionPlan(method="blend", lexical_weight=0.4, rrf_k=10.0, depth=50)


def queries(rng: np.random.Generator, count: int, *, words: float, meaning: float) -> list[Judged]:
    """Queries whose right passage stands out in the words and in the meaning by so many deviations."""
    made = []
    for number in range(count):
        cosine, bm25 = rng.normal(0.5, 0.1, 30), np.abs(rng.normal(5, 2, 30))
        right = int(rng.integers(30))
        cosine[right] += 0.1 * meaning
        bm25[right] += 2 * words
        made.append(
            Judged(
                tuple(f"p{n}" for n in range(30)),
                cosine.astype(np.float32),
                bm25.astype(np.float32),
                frozenset({f"p{right}"}),
                f"article {number // 4}",
            )
        )
    return made


def test_words_that_tell_nothing_get_little_weight_and_words_that_tell_all_get_much() -> None:
    rng = np.random.default_rng(1)

    mute = best(queries(rng, 200, words=0.0, meaning=3.0), BEFORE)
    telling = best(queries(rng, 200, words=3.0, meaning=0.0), BEFORE)

    assert (mute.method, telling.method) == ("blend", "blend")
    assert mute.lexical_weight <= 0.1
    assert telling.lexical_weight >= 1.0


def test_a_better_fusion_helps_beyond_chance_on_queries_it_was_not_chosen_on() -> None:
    rng = np.random.default_rng(2)
    blind = msgspec.structs.replace(BEFORE, lexical_weight=0.0)
    given = queries(rng, 400, words=3.0, meaning=1.0)

    found = fit(given, blind)

    assert found.helps
    assert 0 < found.gain.low <= found.gain.mean <= found.gain.high
    assert found.train + found.test == 400
    held_out = [query for query in given if not trains(query.cluster)]
    after, before = (quality(held_out, plan)["R@5"].mean() for plan in (found.fusion, blind))
    assert found.gain.mean == pytest.approx(after - before)


def test_the_same_fusion_helps_nothing() -> None:
    given = queries(np.random.default_rng(3), 100, words=1.0, meaning=1.0)

    found = judged(given, BEFORE, BEFORE, train=0)

    assert (found.gain.mean, found.gain.low, found.gain.high) == (0.0, 0.0, 0.0)
    assert not found.helps


def test_every_choice_keeps_the_depth_and_stays_in_the_plans_bounds() -> None:
    found = best(queries(np.random.default_rng(4), 40, words=1.0, meaning=1.0), BEFORE)

    assert found.depth == BEFORE.depth
    for weight in WEIGHTS:
        plan = msgspec.structs.replace(BEFORE, lexical_weight=weight)
        assert msgspec.json.decode(msgspec.json.encode(plan), type=FusionPlan) == plan
    for k in RRF_KS:
        plan = msgspec.structs.replace(BEFORE, method="rrf", rrf_k=k)
        assert msgspec.json.decode(msgspec.json.encode(plan), type=FusionPlan) == plan


def test_queries_of_one_cluster_stand_on_one_side_and_one_side_alone_is_refused() -> None:
    given = queries(np.random.default_rng(5), 4, words=1.0, meaning=1.0)

    assert len({trains(query.cluster) for query in given}) == 1
    with pytest.raises(NothingToFit, match="cluster"):
        fit(given, BEFORE)


def test_the_written_component_loads_and_differs_in_its_fusion_alone(tmp_path: Path) -> None:
    plan, _ = load_plan(SHIPPED / "hybrid@1")
    found = fit(queries(np.random.default_rng(6), 200, words=3.0, meaning=1.0), plan.fusion)
    fitted = msgspec.structs.replace(plan, fusion=found.fusion)

    manifest = write_component(tmp_path / "hybrid@7", "hybrid@7", fitted, found)

    loaded, again = load_plan(tmp_path / "hybrid@7")
    assert loaded == fitted
    assert again.hash == manifest.hash
    assert (again.reference, again.kind) == ("hybrid@7", "retriever")
    assert again.metadata["judged_on"] == found.test
    assert msgspec.structs.replace(loaded, fusion=plan.fusion) == plan


def test_a_fit_is_told_in_percentage_points() -> None:
    given = queries(np.random.default_rng(7), 200, words=3.0, meaning=1.0)

    told = shape(fit(given, msgspec.structs.replace(BEFORE, lexical_weight=0.0)))

    gain = told["gain_r5_pp"]
    assert isinstance(gain, dict)
    assert gain["mean"] > 1.0
    assert told["helps"] is True


@pytest.mark.parametrize("name", ["hybrid", "@2", "hybrid@"])
def test_a_name_without_a_version_is_a_wrong_command_line(name: str) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["--queries", "q.jsonl", "--out", "x", "--name", name])


def test_a_third_leg_gets_weight_where_it_alone_tells_and_none_where_it_is_noise() -> None:
    rng = np.random.default_rng(5)
    given = queries(rng, 200, words=0.0, meaning=0.5)
    telling, mute = [], []
    for query in given:
        [right] = [place for place, name in enumerate(query.ids) if name in query.relevant]
        scores = np.abs(rng.normal(5, 2, 30)).astype(np.float32)
        mute.append(replace(query, sparse=scores))
        better = scores.copy()
        better[right] += 8
        telling.append(replace(query, sparse=better))

    with_it, without = best(telling, BEFORE), best(mute, BEFORE)

    assert with_it.sparse_weight >= 0.5
    assert without.sparse_weight <= 0.1
    gained = quality(telling, with_it)["R@5"].mean() - quality(given, BEFORE)["R@5"].mean()
    assert gained > 0.3
