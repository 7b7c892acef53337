"""``POST /v1/embeddings`` with OpenAI's own client: numbers, base64, dimensions, many texts, errors."""

import base64
from collections.abc import AsyncIterator

import httpx
import numpy as np
import openai
import pytest

from tests.deployments import Deployment

pytestmark = pytest.mark.integration

MODEL = "single_vector.minilm.384.v1"


@pytest.fixture
async def ai(deployment: Deployment) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's client, pointed at the gateway."""
    async with (
        openai.DefaultAsyncHttpxClient(trust_env=False) as transport,
        openai.AsyncOpenAI(
            base_url=f"{deployment.api}/v1", api_key="none", http_client=transport, max_retries=0
        ) as client,
    ):
        yield client


async def test_texts_become_unit_vectors_in_their_order(ai: openai.AsyncOpenAI) -> None:
    texts = ["copy a directory tree", "duplicate a folder recursively", "the price of eggs"]

    answer = await ai.embeddings.create(model=MODEL, input=texts, encoding_format="float")

    vectors = np.array([row.embedding for row in answer.data])
    assert [row.index for row in answer.data] == [0, 1, 2]
    assert answer.model == MODEL
    assert vectors.shape == (3, 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > len(texts) * 3


async def test_base64_holds_the_same_numbers_as_the_list(
    ai: openai.AsyncOpenAI, http: httpx.AsyncClient
) -> None:
    # The client asks for base64 by itself when nothing else is said, and decodes it.
    decoded = await ai.embeddings.create(model=MODEL, input="one text")
    listed = await ai.embeddings.create(model=MODEL, input="one text", encoding_format="float")
    body = {"model": MODEL, "input": "one text", "encoding_format": "base64"}
    raw = (await http.post("/v1/embeddings", json=body)).json()["data"][0]["embedding"]

    numbers = np.frombuffer(base64.b64decode(raw), dtype="<f4")
    assert decoded.data[0].embedding == pytest.approx(listed.data[0].embedding, abs=1e-7)
    assert numbers.tolist() == pytest.approx(listed.data[0].embedding, abs=1e-7)


async def test_more_texts_than_fit_one_message_come_back_whole_and_in_order(
    ai: openai.AsyncOpenAI,
) -> None:
    texts = [f"row {number}" for number in range(150)]

    many = await ai.embeddings.create(model=MODEL, input=texts, encoding_format="float")
    alone = await ai.embeddings.create(model=MODEL, input=texts[149], encoding_format="float")

    assert [row.index for row in many.data] == list(range(150))
    assert many.data[149].embedding == pytest.approx(alone.data[0].embedding, abs=1e-6)


async def test_the_namespaces_own_dimension_may_be_named_and_no_other(
    ai: openai.AsyncOpenAI,
) -> None:
    named = await ai.embeddings.create(model=MODEL, input="x", dimensions=384)
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        await ai.embeddings.create(model=MODEL, input="x", dimensions=128)

    assert len(named.data[0].embedding) == 384
    problem = refused.value.response.json()
    assert (problem["title"], problem["code"]) == ("DimensionMismatch", "invalid")
    assert "128" in problem["detail"]
    assert "384" in problem["detail"]


async def test_an_unknown_namespace_is_not_found(ai: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        await ai.embeddings.create(model="text-embedding-3-small", input="x")

    problem = refused.value.response.json()
    assert problem["title"] == "UnknownNamespace"
    assert MODEL in problem["detail"], "it says what is served"


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param([], id="no text"),
        pytest.param("", id="an empty text"),
        pytest.param(["fine", " \t"], id="a blank one among others"),
        pytest.param(["\u0000"], id="nothing that the model knows"),
    ],
)
async def test_inputs_that_hold_no_text_are_refused(
    http: httpx.AsyncClient, texts: list[str] | str
) -> None:
    answer = await http.post("/v1/embeddings", json={"model": MODEL, "input": texts})

    assert answer.status_code == 422
    assert answer.json()["title"] in ("InvalidText", "InvalidMessage")


async def test_a_text_over_the_token_budget_is_truncated_and_one_over_a_message_refused(
    ai: openai.AsyncOpenAI, http: httpx.AsyncClient
) -> None:
    long = await ai.embeddings.create(model=MODEL, input="word " * 5000)
    huge = await http.post("/v1/embeddings", json={"model": MODEL, "input": "word " * 300_000})

    assert long.usage.prompt_tokens == 256
    assert (huge.status_code, huge.json()["title"]) == (413, "MessageTooLarge")
