"""A reply holds one unit vector per text, in order, however the texts were found; refusals are typed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from services.encoder.cache import TextCache
from services.encoder.encoding import Encoder
from tests.unit.encoder.twin import NAMESPACE, Twin
from trimtab.contracts.encode import EncodeReply, EncodeRequest, Overflow
from trimtab.contracts.errors import (
    DeadlineExceeded,
    InvalidText,
    ModelFailed,
    TokenBudgetExceeded,
    UnknownNamespace,
)
from trimtab.contracts.headers import RequestContext, now_ms
from trimtab.telemetry.metrics import REGISTRY
from trimtab.worker.sampler import Identity, Sampler

COMPONENT = "twin@1"
TOO_LONG = "one two three four five six seven"


def _context(budget_ms: int = 10_000) -> RequestContext:
    return RequestContext("r1", "public", now_ms() + budget_ms, release="base")


@asynccontextmanager
async def _encoder(twin: Twin, cache: TextCache | None = None) -> AsyncIterator[Encoder]:
    sampler = Sampler(Identity("encoder", "encoder-1", "0", 0.0))
    encoder = Encoder(COMPONENT, "hash", twin, cache or TextCache(100, 1 << 20), sampler)
    encoder.batcher.start()
    try:
        yield encoder
    finally:
        await encoder.batcher.stop()


async def _ask(
    encoder: Encoder, *texts: str, overflow: Overflow = "truncate", tokens: bool = False
) -> EncodeReply:
    request = EncodeRequest(
        namespace=NAMESPACE, texts=list(texts), overflow=overflow, tokens=tokens
    )
    return await encoder.encode(request, _context())


def _metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"component": COMPONENT, **labels}) or 0.0


async def test_one_vector_per_text_in_their_order() -> None:
    twin = Twin()
    async with _encoder(twin) as encoder:
        reply = await _ask(encoder, "alpha", "beta gamma", "delta")

    expected = [twin.vector(ids) for ids in twin.tokenize(["alpha", "beta gamma", "delta"])]
    np.testing.assert_array_equal(reply.vectors.array(), expected)
    assert reply.namespace == NAMESPACE
    assert reply.token_counts == [3, 4, 3]
    assert (reply.truncated, reply.cached, reply.tokens) == (0, 0, None)


async def test_a_text_asked_before_comes_from_the_cache_and_is_the_same() -> None:
    twin = Twin()
    hits = _metric("encoder_cache_total", result="hit")
    async with _encoder(twin) as encoder:
        first = await _ask(encoder, "alpha", "beta")
        second = await _ask(encoder, "beta", "gamma", "alpha")

    assert second.cached == 2
    assert sum(len(call) for call in twin.calls) == 3
    np.testing.assert_array_equal(second.vectors.array()[[2, 0]], first.vectors.array())
    assert _metric("encoder_cache_total", result="hit") == hits + 2


async def test_a_text_twice_in_a_request_is_computed_once() -> None:
    twin = Twin()
    async with _encoder(twin) as encoder:
        reply = await _ask(encoder, "alpha", "beta", "alpha")

    assert sum(len(call) for call in twin.calls) == 2
    np.testing.assert_array_equal(reply.vectors.array()[0], reply.vectors.array()[2])


async def test_token_vectors_come_when_asked_for_also_for_a_cached_text() -> None:
    async with _encoder(Twin()) as encoder:
        await _ask(encoder, "alpha")
        reply = await _ask(encoder, "alpha", "beta gamma", tokens=True)
        again = await _ask(encoder, "alpha", "beta gamma", tokens=True)

    assert reply.tokens is not None
    assert again.tokens is not None
    assert reply.tokens.counts == [3, 4]
    assert reply.tokens.matrix.array().shape == (7, 4)
    np.testing.assert_array_equal(again.tokens.matrix.array(), reply.tokens.matrix.array())
    assert again.cached == 2


async def test_a_backend_without_token_vectors_answers_without_and_still_caches() -> None:
    async with _encoder(Twin(gives_tokens=False)) as encoder:
        first = await _ask(encoder, "alpha", tokens=True)
        second = await _ask(encoder, "alpha", tokens=True)

    assert (first.tokens, second.tokens) == (None, None)
    assert second.cached == 1


async def test_another_namespace_is_refused_with_those_served() -> None:
    async with _encoder(Twin()) as encoder:
        with pytest.raises(UnknownNamespace) as refusal:
            await encoder.encode(EncodeRequest(namespace="other", texts=["a"]), _context())

    assert refusal.value.known == (NAMESPACE,)


@pytest.mark.parametrize("text", ["", "  ", "\x01"], ids=["empty", "blank", "control-characters"])
async def test_what_is_no_text_is_refused_by_its_place_and_computes_nothing_else_wrong(
    text: str,
) -> None:
    async with _encoder(Twin()) as encoder:
        with pytest.raises(InvalidText) as refusal:
            await _ask(encoder, "alpha", text)
        reply = await _ask(encoder, "alpha")

    assert refusal.value.index == 1
    assert len(reply.token_counts) == 1


async def test_truncation_is_counted_in_the_reply_in_the_metric_and_in_the_sample() -> None:
    before = _metric("encoder_token_overflow_total", policy="truncate")
    async with _encoder(Twin()) as encoder:
        reply = await _ask(encoder, "alpha", TOO_LONG)
        sample = encoder.sampler.take(0)

    assert (reply.truncated, reply.token_counts) == (1, [3, 6])
    assert _metric("encoder_token_overflow_total", policy="truncate") == before + 1
    [endpoint] = sample.endpoints
    assert endpoint.bad == {"token_overflow": 1, "cache_miss": 1}
    assert (endpoint.component, endpoint.release) == (COMPONENT, "base")


@pytest.mark.parametrize("cached", [False, True], ids=["fresh", "cached-by-a-truncating-request"])
async def test_rejection_holds_whether_or_not_the_text_is_cached(cached: bool) -> None:
    before = _metric("encoder_token_overflow_total", policy="reject")
    async with _encoder(Twin()) as encoder:
        if cached:
            await _ask(encoder, TOO_LONG)
        with pytest.raises(TokenBudgetExceeded) as refusal:
            await _ask(encoder, "alpha", TOO_LONG, overflow="reject")

    assert (refusal.value.index, refusal.value.tokens, refusal.value.budget) == (1, 9, 6)
    assert _metric("encoder_token_overflow_total", policy="reject") == before + 1


async def test_a_vector_off_unit_length_never_leaves_and_is_never_cached() -> None:
    twin = Twin(length=1.001)
    async with _encoder(twin) as encoder:
        with pytest.raises(ModelFailed, match="unit length"):
            await _ask(encoder, "alpha")
        twin.length = 1.0
        reply = await _ask(encoder, "alpha")

    assert reply.cached == 0


async def test_a_failing_model_is_a_typed_error_and_the_next_request_is_served() -> None:
    twin = Twin(fails_with=ModelFailed("twin"))
    async with _encoder(twin) as encoder:
        with pytest.raises(ModelFailed):
            await _ask(encoder, "alpha")
        twin.fails_with = None
        reply = await _ask(encoder, "alpha")

    assert reply.token_counts == [3]


async def test_a_long_request_is_computed_in_slices() -> None:
    twin = Twin()
    texts = [f"text number {i}" for i in range(9)]
    async with _encoder(twin) as encoder:
        reply = await _ask(encoder, *texts)

    assert [len(call) for call in twin.calls] == [4, 4, 1]
    expected = [twin.vector(ids) for ids in twin.tokenize(texts)]
    np.testing.assert_array_equal(reply.vectors.array(), expected)


async def test_past_the_deadline_nothing_more_is_computed() -> None:
    twin = Twin()
    async with _encoder(twin) as encoder:
        with pytest.raises(DeadlineExceeded):
            await encoder.encode(
                EncodeRequest(namespace=NAMESPACE, texts=["alpha"]), _context(budget_ms=-1)
            )

    assert twin.calls == []


async def test_the_mean_norm_and_the_hit_ratio_are_facts() -> None:
    async with _encoder(Twin()) as encoder:
        await _ask(encoder, "alpha")
        await _ask(encoder, "alpha")
        facts = encoder.sampler.identity.facts

    assert facts["mean_norm"] == pytest.approx(1.0, abs=1e-6)
    assert (facts["cache_entries"], facts["cache_hit_ratio"]) == (1, 0.5)
    assert _metric("encoder_mean_norm_ratio") == facts["mean_norm"]
