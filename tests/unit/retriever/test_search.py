"""From a request to candidates with signals."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.retriever.edition import Edition
from services.retriever.fusion import blend
from services.retriever.maxsim import maxsim
from services.retriever.passages import visibility as visibility_module
from services.retriever.passages.store import StoredPassage
from services.retriever.retrieved import Retrieved
from services.retriever.search import (
    EMPTY_RESULT,
    LOW_COSINE,
    NEAR_DUPLICATES,
    POOL_TRIMMED,
    ForeignPassage,
    retrieve,
)
from services.retriever.words.terms import english_stemmer
from tests.unit.retriever.corpora import (
    DIMENSION,
    PLAN,
    TOKEN_DIMENSION,
    build,
    clustered,
    passage,
    refresh_lexical,
    request,
    take_in,
    token_rows,
    train,
    unit,
)
from trimtab.contracts.errors import DimensionMismatch, InvalidMessage, NamespaceMismatch
from trimtab.contracts.retrieve import RetrieveRequest
from trimtab.contracts.tensor import Matrix

STEM = english_stemmer()
BYTES = 700_000
WORDS = ["copy", "tree", "socket", "thread", "parse", "json", "queue", "signal"]


def ask(edition: Edition, asked: RetrieveRequest, tenant: str = "public") -> Retrieved:
    return retrieve(edition, asked, tenant, STEM, BYTES)


def test_signals_are_those_of_the_candidates_in_their_order() -> None:
    rng = np.random.default_rng(0)
    vectors = clustered(rng, 120, 12)
    texts = [f"{WORDS[i % 8]} {WORDS[(i * 3) % 8]} passage" for i in range(120)]
    edition, stored = build(vectors, texts=texts, with_tokens=True)
    query, query_tokens = clustered(rng, 1, 1)[0], token_rows(rng, 6)

    found = ask(edition, request(query, text="copy json", limit=20, tokens=query_tokens)).reply

    slots = [int(hit.id[1:]) for hit in found.hits]
    signals = found.signals
    assert signals is not None
    assert len(slots) == 20
    assert signals.cosine.array()[0] == pytest.approx(vectors[slots] @ query, abs=1e-5)
    gram = vectors[slots] @ vectors[slots].T
    assert signals.gram.array() == pytest.approx(gram, abs=2e-3)
    bm25 = signals.bm25.array()[0]
    has_term = [any(word in texts[slot].split() for word in ("copy", "json")) for slot in slots]
    assert [score > 0 for score in bm25] == has_term
    fused = signals.fused.array()[0]
    assert fused == pytest.approx(blend(signals.cosine.array()[0], bm25, 0.4), abs=1e-5)
    assert list(fused) == sorted(fused, reverse=True)
    assert signals.maxsim is not None
    expected = maxsim(query_tokens, [stored[slot].tokens for slot in slots])
    assert signals.maxsim.array()[0] == pytest.approx(expected)
    articles = [hit.article for hit in found.hits]
    assert [articles.index(article) for article in articles] == [
        signals.articles.index(number) for number in signals.articles
    ]
    assert found.index == "docs@120"


def test_a_passage_found_by_its_words_alone_is_a_candidate_with_its_true_cosine() -> None:
    rng = np.random.default_rng(1)
    vectors = clustered(rng, 400, 40)
    texts = ["plain words"] * 400
    query = unit(rng, 1)[0]
    outside = int(np.argsort(-(vectors @ query))[100])  # the dense list holds 60
    texts[outside] = "use shutil.copytree here"
    edition, _ = build(vectors, texts=texts)

    found = ask(edition, request(query, text="shutil.copytree", limit=60)).reply

    assert f"p{outside}" in [hit.id for hit in found.hits]
    assert found.signals is not None
    at = [hit.id for hit in found.hits].index(f"p{outside}")
    assert found.signals.cosine.array()[0, at] == pytest.approx(vectors[outside] @ query, abs=1e-5)


def test_without_words_the_order_is_that_of_the_cosine() -> None:
    rng = np.random.default_rng(2)
    vectors = clustered(rng, 100, 10)
    edition, _ = build(vectors)
    query = unit(rng, 1)[0]

    found = ask(edition, request(query, limit=15)).reply

    assert [int(hit.id[1:]) for hit in found.hits] == np.argsort(-(vectors @ query))[:15].tolist()


def test_no_token_vectors_means_no_maxsim() -> None:
    vectors = clustered(np.random.default_rng(3), 20, 4)
    without, _ = build(vectors)
    tokens = token_rows(np.random.default_rng(4), 3)

    asked_with = ask(without, request(vectors[0], tokens=tokens)).reply
    asked_without = ask(without, request(vectors[0])).reply

    assert asked_with.signals is not None
    assert asked_with.signals.maxsim is None
    assert asked_without.signals is not None
    assert asked_without.signals.maxsim is None


def test_a_session_is_compared_with_each_candidate_in_its_order() -> None:
    rng = np.random.default_rng(30)
    vectors = clustered(rng, 60, 6)
    edition, _ = build(vectors)
    mean = unit(rng, 1)[0]
    asked = msgspec.structs.replace(
        request(vectors[3], limit=10), session=Matrix.of(mean[np.newaxis])
    )

    found = ask(edition, asked).reply
    without = ask(edition, request(vectors[3], limit=10)).reply

    slots = [int(hit.id[1:]) for hit in found.hits]
    assert len(slots) == 10
    assert found.signals is not None
    assert found.signals.session is not None
    assert found.signals.session.array()[0] == pytest.approx(vectors[slots] @ mean, abs=1e-5)
    assert without.signals is not None
    assert without.signals.session is None


def test_an_empty_pool_is_a_reply_and_a_bad_event() -> None:
    vectors = clustered(np.random.default_rng(5), 10, 2)
    edition, _ = build(vectors, tenants=["acme"] * 10)

    found = ask(edition, request(vectors[0]), tenant="globex")

    assert found.reply.hits == []
    assert found.reply.signals is None
    assert found.bad == (EMPTY_RESULT,)


def test_nothing_near_is_a_bad_event() -> None:
    vectors = clustered(np.random.default_rng(6), 30, 1)
    edition, _ = build(vectors)

    assert ask(edition, request(-vectors[0])).bad == (LOW_COSINE,)
    assert ask(edition, request(vectors[0])).bad == ()


def test_candidates_that_say_the_same_are_a_bad_event_from_three_in_a_hundred_on() -> None:
    vectors = clustered(np.random.default_rng(17), 50, 50)
    apart, _ = build(vectors)
    vectors[7] = vectors[3]
    once, _ = build(vectors)
    vectors[8] = vectors[3]
    twice, _ = build(vectors)
    query = request(unit(np.random.default_rng(18), 1)[0], limit=50)

    bad = [NEAR_DUPLICATES in ask(edition, query).bad for edition in (apart, once, twice)]

    assert bad == [False, False, True]


def test_a_reply_that_would_be_too_large_keeps_the_best_and_says_so() -> None:
    vectors = clustered(np.random.default_rng(7), 40, 4)
    edition, _ = build(vectors, texts=["x" * 1000] * 40)
    asked = request(vectors[0], limit=30)
    full = retrieve(edition, asked, "public", STEM, BYTES).reply

    trimmed = retrieve(edition, asked, "public", STEM, 10_000)

    kept = len(trimmed.reply.hits)
    assert 0 < kept < 30
    assert trimmed.reply.hits == full.hits[:kept]
    assert len(msgspec.msgpack.encode(trimmed.reply.hits)) <= 10_100
    assert trimmed.reply.signals is not None
    assert trimmed.reply.signals.gram.rows == kept
    assert trimmed.bad == (POOL_TRIMMED,)


def test_a_vector_of_another_space_or_shape_is_a_typed_error() -> None:
    rng = np.random.default_rng(8)
    vectors = clustered(rng, 20, 4)
    edition, _ = build(vectors, with_tokens=True)

    with pytest.raises(NamespaceMismatch, match=r"single_vector\.test"):
        ask(edition, request(vectors[0], namespace="single_vector.other.16.v1"))
    with pytest.raises(DimensionMismatch, match="expected 16"):
        ask(edition, request(unit(rng, 1, 24)[0]))
    with pytest.raises(InvalidMessage, match="unit length"):
        ask(edition, request(vectors[0] * 3))
    wide = np.rint(unit(rng, 3, 2 * TOKEN_DIMENSION) * 127).astype(np.int8)
    with pytest.raises(DimensionMismatch, match="query token vectors"):
        ask(edition, request(vectors[0], tokens=wide))


def test_a_passage_of_another_tenant_is_stopped_even_if_the_visible_set_were_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors = clustered(np.random.default_rng(9), 20, 2)
    edition, _ = build(vectors, tenants=["acme"] * 20)
    wrong = edition.collection.visible("acme")
    monkeypatch.setattr(edition.collection, "visible", lambda tenant: wrong)

    with pytest.raises(ForeignPassage):
        ask(edition, request(vectors[0]), tenant="globex")


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    shares=st.lists(st.integers(0, 30), min_size=4, max_size=4),
    limit=st.integers(1, 40),
    with_ivf=st.booleans(),
    exact_below=st.sampled_from([0, 20, 10_000]),
    lexical_weight=st.sampled_from([0.0, 0.4, 5.0]),
    words=st.lists(st.sampled_from(WORDS), max_size=3),
)
def test_no_other_tenants_passage_ever_comes_out_and_the_pool_is_full(
    seed: int,
    shares: list[int],
    limit: int,
    with_ivf: bool,
    exact_below: int,
    lexical_weight: float,
    words: list[str],
) -> None:
    """Dense alone (weight 0), lexical in front (weight 5) and fused, over FLAT and IVF, few or many own."""
    rng = np.random.default_rng(seed)
    names = ["public", "acme", "globex", "initech"]
    tenants = [name for name, share in zip(names, shares, strict=True) for _ in range(share)]
    tenants.append("globex")
    rng.shuffle(tenants)
    vectors = clustered(rng, len(tenants), 5)
    texts = [" ".join(rng.choice(WORDS, 3)) for _ in tenants]
    fusion = msgspec.structs.replace(PLAN.fusion, lexical_weight=lexical_weight)
    plan = msgspec.structs.replace(PLAN, fusion=fusion)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(visibility_module, "EXACT_BELOW", exact_below)
        edition, _ = build(vectors, texts=texts, tenants=tenants, plan=plan)
        if with_ivf:
            train(edition, nlist=max(1, len(tenants) // 4))
        for tenant in ("acme", "globex", "unknown"):
            query = unit(rng, 1, DIMENSION)[0]
            asked = request(query, text=" ".join(words), limit=limit, nprobe=1)
            found = ask(edition, asked, tenant).reply
            allowed = sum(owner in (tenant, "public") for owner in tenants)

            assert {hit.tenant for hit in found.hits} <= {tenant, "public"}
            assert len(found.hits) == min(limit, allowed)
            assert len({hit.id for hit in found.hits}) == len(found.hits)


def test_a_replaced_passage_is_found_by_its_new_words_once_the_index_is_refreshed() -> None:
    vectors = clustered(np.random.default_rng(10), 30, 3)
    edition, stored = build(vectors, texts=["old words"] * 30)
    stored[4] = StoredPassage(4, 31, passage(4, vectors[4], text="brandnew").hit, vectors[4], b"")
    take_in(edition.collection, stored[4:5])
    refresh_lexical(edition)

    found = ask(edition, request(vectors[9], text="brandnew", limit=3)).reply
    assert found.signals is not None
    by_id = {
        hit.id: score for hit, score in zip(found.hits, found.signals.bm25.array()[0], strict=True)
    }
    assert by_id["p4"] > 0
    assert sum(score > 0 for score in by_id.values()) == 1
    assert found.index == "docs@31"
