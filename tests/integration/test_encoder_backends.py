"""One behaviour for every backend: the same suite over each profile and over a vLLM server."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from nats.aio.client import Client as NatsClient
from numpy.typing import NDArray

from services.encoder.app import build
from services.encoder.backend import EncoderBackend
from services.encoder.cache import EncodedText
from services.encoder.compute import Job, compute
from services.encoder.probe import LEAST_COSINE, off_unit, prove, row_norms
from services.encoder.settings import EncoderSettings
from services.encoder.shipped import BY_VLLM, SHIPPED
from services.encoder.spec import MINILM
from services.encoder.tokenizer import Specials, fit
from services.encoder.vllm_backend import VllmAddress, VllmBackend
from services.encoder.weights import TOKENIZER, installed_folder
from tests.integration import encoder_models
from tests.integration.vllm_server import vllm_server
from tests.workers import deployment, running
from trimtab.bus.caller import Caller
from trimtab.bus.local_server import LocalServer
from trimtab.contracts import subjects
from trimtab.contracts.encode import EncodeReply, EncodeRequest
from trimtab.contracts.errors import InvalidText, TokenBudgetExceeded
from trimtab.contracts.headers import RequestContext, now_ms

TEXTS = (
    "How do I copy a whole directory tree?",
    "Recursively copy an entire directory tree rooted at src to a directory named dst.",
    "Return the logarithm of x to the given base.",
    "x",
    "Ünïcödé, 日本語 and 😀 in one line; \t tabs\nand newlines too",
    "deploy " * 400,
)
QUERY, ANSWER, UNRELATED = 0, 1, 2

VLLM = BY_VLLM
BATCH_TOLERANCE = {VLLM: 0.9995}
"""Least cosine of a vector to itself in a batch; the others make exactly the same bits."""


@pytest.fixture(
    scope="module",
    params=[*SHIPPED, pytest.param(VLLM, marks=pytest.mark.vllm)],
)
def reference(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def vllm_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with vllm_server(tmp_path_factory.mktemp("vllm")) as url:
        yield url


@pytest.fixture(scope="module")
def backend(reference: str, request: pytest.FixtureRequest) -> Iterator[EncoderBackend]:
    if reference != VLLM:
        yield encoder_models.backend(reference)
        return
    address = VllmAddress(request.getfixturevalue("vllm_url"))
    served = VllmBackend.connect(address, MINILM, 256)
    yield served
    served.close()


def _encode(backend: EncoderBackend, *texts: str) -> NDArray[np.float32]:
    fitted = [fit(ids, backend.specials, backend.max_tokens) for ids in backend.tokenize(texts)]
    return backend.encode([text.ids for text in fitted], tokens=False).vectors


def test_the_probe_proves_dimension_length_and_direction(backend: EncoderBackend) -> None:
    proof = prove(backend)

    assert proof.dimension == backend.dimension == 384
    assert abs(proof.mean_norm - 1) < 1e-6
    assert proof.least_cosine is not None
    assert proof.least_cosine > LEAST_COSINE


def test_every_vector_has_unit_length(backend: EncoderBackend) -> None:
    vectors = _encode(backend, *TEXTS)

    assert vectors.shape == (len(TEXTS), backend.dimension)
    assert vectors.dtype == np.float32
    assert off_unit(row_norms(vectors)) == 0


def test_a_question_is_nearer_to_its_answer_than_to_something_else(
    backend: EncoderBackend,
) -> None:
    vectors = _encode(backend, *TEXTS)

    assert vectors[QUERY] @ vectors[ANSWER] > vectors[QUERY] @ vectors[UNRELATED] + 0.3


def test_a_text_has_the_same_vector_alone_and_in_any_company(
    backend: EncoderBackend, reference: str
) -> None:
    together = _encode(backend, *TEXTS)
    alone = np.concatenate([_encode(backend, text) for text in TEXTS])

    least = BATCH_TOLERANCE.get(reference)
    if least is None:
        np.testing.assert_array_equal(together, alone)
    else:
        assert np.einsum("ij,ij->i", together, alone).min() > least


def test_the_same_text_twice_gives_the_same_vector(backend: EncoderBackend, reference: str) -> None:
    first, second = _encode(backend, TEXTS[ANSWER]), _encode(backend, TEXTS[ANSWER])

    tolerance = 0.0 if reference not in BATCH_TOLERANCE else 1e-3
    np.testing.assert_allclose(first, second, atol=tolerance)


def test_tokens_are_counted_with_the_models_own_tokenizer(backend: EncoderBackend) -> None:
    assert backend.specials == Specials(1, 1)
    counts = [len(ids) for ids in backend.tokenize(["copy a tree", "antidisestablishmentarianism"])]
    assert counts == [5, 10]


def test_a_text_of_exactly_the_budget_is_whole_and_one_more_token_is_over(
    backend: EncoderBackend,
) -> None:
    words = backend.max_tokens - 2
    whole, over = " ".join(["tree"] * words), " ".join(["tree"] * (words + 1))
    job = Job((whole, over), (0, 1), "reject", tokens=False)

    [[kept, refused]] = compute(backend, [job])

    assert isinstance(kept, EncodedText)
    assert (kept.seen, kept.total) == (256, 256)
    assert isinstance(refused, TokenBudgetExceeded)
    assert (refused.tokens, refused.budget) == (257, 256)


def test_truncation_encodes_the_first_tokens(backend: EncoderBackend, reference: str) -> None:
    words = backend.max_tokens - 2
    head = "tree copies a " * (words // 3) + "tree " * (words % 3)

    cut, whole = _encode(backend, head + " logarithm" * 200), _encode(backend, head)

    assert cut[0] @ whole[0] > (1 - 1e-5 if reference not in BATCH_TOLERANCE else 0.9995)


@pytest.mark.parametrize("text", ["\u200b\u200d", "\x00\x07", "\ufffd"], ids=ascii)
def test_text_of_characters_that_the_model_drops_is_refused(
    backend: EncoderBackend, text: str
) -> None:
    [[result]] = compute(backend, [Job((text,), (0,), "truncate", tokens=False)])

    assert isinstance(result, InvalidText)


def test_token_vectors_find_the_words_that_two_texts_share(backend: EncoderBackend) -> None:
    if not backend.gives_tokens:
        pytest.skip("this backend gives one vector per text and no token vectors")
    ids = backend.tokenize(TEXTS[:3])

    encoded = backend.encode(ids, tokens=True)

    assert encoded.tokens is not None
    assert [matrix.shape for matrix in encoded.tokens] == [(len(text), 128) for text in ids]
    assert {matrix.dtype for matrix in encoded.tokens} == {np.dtype(np.int8)}
    query, answer, unrelated = (matrix.astype(np.float32) / 127 for matrix in encoded.tokens)
    np.testing.assert_allclose(np.linalg.norm(answer, axis=1), 1.0, atol=0.03)
    near, far = ((query @ other.T).max(axis=1).mean() for other in (answer, unrelated))
    assert near > far + 0.1


def test_asking_for_token_vectors_does_not_change_the_vector(backend: EncoderBackend) -> None:
    if not backend.gives_tokens:
        pytest.skip("this backend gives one vector per text and no token vectors")
    ids = backend.tokenize(TEXTS[:2])

    with_tokens, without = backend.encode(ids, tokens=True), backend.encode(ids, tokens=False)

    np.testing.assert_array_equal(with_tokens.vectors, without.vectors)
    assert without.tokens is None


@pytest.mark.vllm
def test_a_vllm_server_counts_tokens_as_the_tokenizer_file_does(vllm_url: str) -> None:
    path = Path(str(installed_folder())) / TOKENIZER
    remote = VllmBackend.connect(VllmAddress(vllm_url), MINILM, 256)
    local = VllmBackend.connect(VllmAddress(vllm_url), MINILM, 256, path)

    assert remote.tokenize(TEXTS) == local.tokenize(TEXTS)
    assert remote.specials == local.specials
    assert remote.content_hash == local.content_hash
    remote.close()
    local.close()


@pytest.fixture(scope="module")
def exact() -> NDArray[np.float32]:
    """Vectors in fp32; made before a connection is open, which a blocked loop would lose."""
    return _encode(encoder_models.backend("minilm-fp32@1"), *TEXTS[:3])


@pytest.mark.vllm
@pytest.mark.integration
async def test_a_worker_serves_a_vllm_server_as_a_component_without_token_vectors(
    vllm_url: str,
    exact: NDArray[np.float32],
    nats_server: LocalServer,
    connection: NatsClient,
    tmp_path: Path,
) -> None:
    settings = EncoderSettings(vllm_url=vllm_url)
    request = EncodeRequest(namespace=MINILM, texts=list(TEXTS[:3]), tokens=True)
    context = RequestContext("r1", "public", now_ms() + 30_000)

    async with running(build(deployment(nats_server, tmp_path), settings)) as worker:
        subject = subjects.encode(settings.reference)
        answer = await Caller(connection).call(subject, request, EncodeReply, context)

    assert (answer.component, list(worker.identity.components)) == (VLLM, [VLLM])
    assert (answer.message.tokens, worker.identity.facts["token_vectors"]) == (None, 0)
    assert np.einsum("ij,ij->i", answer.message.vectors.array(), exact).min() > 0.999
