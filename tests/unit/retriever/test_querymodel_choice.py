"""Which vector a search looks with, and why it is not the one that was asked for."""

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from services.retriever.querymodel.choice import QUERY_MODEL_FALLBACK, Choice, QueryModels
from services.retriever.querymodel.model import MEAN, Vectors
from services.retriever.retrieved import Retrieved
from tests.unit.retriever.corpora import DIMENSION, NAMESPACE, request, unit
from trimtab.contracts.errors import DimensionMismatch, InvalidMessage
from trimtab.contracts.retrieve import LAST_VEC, Fallback, RetrieveReply, RetrieveRequest
from trimtab.contracts.tensor import Matrix

ROWS = unit(np.random.default_rng(1), 7)


class Fixed:
    """A model that reads five vectors of one space and always answers the same."""

    least = 5

    def __init__(self, reference: str, answer: Vectors) -> None:
        self.reference = reference
        self.answer = answer

    def fits(self, namespace: str, dimension: int) -> bool:
        return (namespace, dimension) == (NAMESPACE, DIMENSION)

    def vector(self, window: Vectors) -> Vectors:
        assert window.shape[0] >= self.least
        return self.answer


def asked(impl: str | None, window: NDArray[np.float32] | None) -> RetrieveRequest:
    return msgspec.structs.replace(
        request(ROWS[-1]), impl=impl, window=None if window is None else Matrix.of(window)
    )


def chosen(models: QueryModels, impl: str | None, window: NDArray[np.float32] | None) -> Choice:
    return models.choose(asked(impl, window))


@pytest.mark.parametrize("impl", [None, LAST_VEC])
def test_the_query_itself_is_searched_with_unless_a_model_is_asked_for(impl: str | None) -> None:
    choice = chosen(QueryModels(), impl, ROWS)

    assert (choice.impl, choice.vector, choice.fallback) == (LAST_VEC, None, None)
    assert choice.request(asked(impl, ROWS)).vector == Matrix.of(ROWS[-1:])


def test_the_mean_is_of_the_last_five_vectors_and_of_unit_length() -> None:
    choice = chosen(QueryModels(), MEAN, ROWS)

    mean = ROWS[2:].mean(axis=0)
    assert choice.impl == MEAN
    assert choice.vector == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)
    searched = choice.request(asked(MEAN, ROWS)).vector.array()[0]
    assert np.linalg.norm(searched) == pytest.approx(1.0, abs=1e-6)


def test_a_model_answers_to_its_reference_and_the_first_of_a_name_to_the_name() -> None:
    models = QueryModels([Fixed("amn_v0@2", ROWS[0]), Fixed("amn_v0@1", ROWS[1])])

    found = [chosen(models, name, ROWS).impl for name in ("amn_v0@1", "amn_v0@2", "amn_v0")]

    assert found == ["amn_v0@1", "amn_v0@2", "amn_v0@2"]
    assert models.references == [LAST_VEC, MEAN, "amn_v0@2", "amn_v0@1"]


def test_a_model_that_comes_answers_from_then_on_and_one_that_goes_no_longer() -> None:
    models = QueryModels([Fixed("amn_v0@1", ROWS[0])])

    models.add(Fixed("amn_v0@2", ROWS[1]))
    models.add(Fixed("gru_v0@1", ROWS[2]))
    both = [chosen(models, name, ROWS).impl for name in ("amn_v0", "amn_v0@2", "gru_v0")]
    models.remove("amn_v0@1")
    models.remove("gru_v0@1")
    left = [chosen(models, name, ROWS) for name in ("amn_v0@1", "amn_v0", "gru_v0", "gru_v0@1")]

    assert both == ["amn_v0@1", "amn_v0@2", "gru_v0@1"]
    assert [each.impl for each in left] == [LAST_VEC, "amn_v0@2", LAST_VEC, LAST_VEC]
    assert left[0].fallback == left[2].fallback == left[3].fallback == Fallback.NOT_LOADED
    assert models.references == [LAST_VEC, MEAN, "amn_v0@2"]


@pytest.mark.parametrize(
    ("impl", "rows", "why"),
    [
        ("gru_v0", 5, Fallback.NOT_LOADED),
        ("amn_v0", 4, Fallback.WINDOW_SHORT),
        ("amn_v0", 0, Fallback.WINDOW_SHORT),
        (MEAN, 1, Fallback.WINDOW_SHORT),
    ],
)
def test_what_cannot_answer_leaves_the_query_itself_and_the_reason(
    impl: str, rows: int, why: Fallback
) -> None:
    models = QueryModels([Fixed("amn_v0@1", ROWS[0])])

    choice = chosen(models, impl, ROWS[:rows] if rows else None)

    assert (choice.impl, choice.vector, choice.fallback) == (LAST_VEC, None, why)


def test_a_model_of_another_space_is_not_asked() -> None:
    models = QueryModels([Fixed("amn_v0@1", ROWS[0])])
    other = msgspec.structs.replace(asked("amn_v0", ROWS), namespace="single_vector.other.16.v1")

    assert models.choose(other).fallback == Fallback.NAMESPACE


@pytest.mark.parametrize(
    "answer",
    [
        ROWS[0] * np.float32(1.001),
        np.full(DIMENSION, np.nan, dtype=np.float32),
        np.full(DIMENSION, np.inf, dtype=np.float32),
        np.zeros(DIMENSION, dtype=np.float32),
    ],
)
def test_an_output_off_unit_length_is_not_searched_with(answer: Vectors) -> None:
    choice = chosen(QueryModels([Fixed("amn_v0@1", answer)]), "amn_v0", ROWS)

    assert (choice.impl, choice.vector, choice.fallback) == (LAST_VEC, None, Fallback.BAD_OUTPUT)


def test_opposite_vectors_have_no_mean_to_search_with() -> None:
    choice = chosen(QueryModels(), MEAN, np.stack([ROWS[0], -ROWS[0]]))

    assert choice.fallback == Fallback.BAD_OUTPUT


def test_a_window_that_is_no_window_is_the_callers_error() -> None:
    rng = np.random.default_rng(2)

    with pytest.raises(DimensionMismatch, match="window"):
        chosen(QueryModels(), MEAN, unit(rng, 5, 24))
    with pytest.raises(InvalidMessage, match="unit length"):
        chosen(QueryModels(), MEAN, ROWS * np.float32(2))
    with pytest.raises(InvalidMessage, match="unit length"):
        chosen(QueryModels(), MEAN, ROWS * np.float32(np.nan))


def test_the_reply_says_what_was_searched_with_and_a_fallback_is_a_bad_event() -> None:
    reply = RetrieveReply(collection="docs", index="docs@1", hits=[], signals=None)
    found = Retrieved(reply, {"dense": 0.1}, ("low_cosine",))

    fell = Choice(LAST_VEC, fallback=Fallback.NOT_LOADED).told(found)
    used = Choice(MEAN, ROWS[0], took_s=0.2).told(found)

    assert (fell.reply.impl, fell.reply.fallback) == (LAST_VEC, Fallback.NOT_LOADED)
    assert fell.bad == ("low_cosine", QUERY_MODEL_FALLBACK)
    assert (used.reply.impl, used.reply.fallback) == (MEAN, None)
    assert used.bad == ("low_cosine",)
    assert used.took_s == {"dense": 0.1, "model": 0.2}
