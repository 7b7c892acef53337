"""A vLLM server behind HTTP: token ids out, unit vectors in the right order back, every failure typed."""

import json
from pathlib import Path

import httpx
import numpy as np
import pytest

from services.encoder.probe import ProbeFailed, off_unit, row_norms
from services.encoder.tokenizer import Specials
from services.encoder.vllm_backend import (
    VllmAddress,
    VllmBackend,
    VllmUnavailable,
    wait_until_up,
)
from tests.unit.encoder import tiny
from tests.unit.encoder.twin import NAMESPACE
from tests.unit.encoder.vllm_twin import VllmTwin
from trimtab.contracts.errors import ErrorCode, ModelFailed

ADDRESS = VllmAddress("http://vllm.test:8000")


def _connect(server: VllmTwin, address: VllmAddress = ADDRESS) -> VllmBackend:
    return VllmBackend.connect(address, NAMESPACE, 6, transport=server.transport())


def test_vectors_come_back_in_order_and_of_unit_length() -> None:
    server = VllmTwin()
    backend = _connect(server)
    ids = backend.tokenize(["alpha", "beta gamma"])

    encoded = backend.encode(ids, tokens=True)

    assert off_unit(row_norms(encoded.vectors)) == 0
    expected = [server.twin.vector(row) for row in ids]
    np.testing.assert_allclose(encoded.vectors, expected, atol=1e-6)
    assert (encoded.tokens, backend.gives_tokens) == (None, False)


def test_token_ids_are_sent_not_texts() -> None:
    server = VllmTwin()
    backend = _connect(server)

    backend.encode([[1, 50, 2]], tokens=False)

    body = json.loads(server.requests[-1].content)
    assert body == {"model": "minilm", "input": [[1, 50, 2]], "encoding_format": "base64"}


def test_special_tokens_are_found_by_asking_the_server() -> None:
    assert _connect(VllmTwin()).specials == Specials(1, 1)


def test_with_the_models_tokenizer_no_text_is_tokenised_by_a_call(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    tiny.tokenizer().save(str(path))
    server = VllmTwin()

    backend = VllmBackend.connect(ADDRESS, NAMESPACE, 6, path, server.transport())

    assert backend.tokenize(["a b"]) == [[1, 4, 5, 2]]
    assert {request.url.path for request in server.requests} == {"/v1/models"}


def test_the_only_model_of_a_server_needs_no_name_and_a_named_one_must_be_there() -> None:
    assert _connect(VllmTwin(models=["other"])).model == "other"
    with pytest.raises(ProbeFailed, match="the vLLM server has a, b; set ENCODER_VLLM_MODEL"):
        _connect(VllmTwin(models=["a", "b"]))
    with pytest.raises(ProbeFailed):
        _connect(VllmTwin(), VllmAddress(ADDRESS.url, model="absent"))


def test_a_namespace_without_a_dimension_in_its_name_is_refused() -> None:
    with pytest.raises(ProbeFailed, match="states no dimension"):
        VllmBackend.connect(ADDRESS, "mine", 6, transport=VllmTwin().transport())


def test_a_server_that_is_gone_is_a_retryable_typed_error() -> None:
    server = VllmTwin()
    backend = _connect(server)
    server.down = True

    with pytest.raises(VllmUnavailable) as refusal:
        backend.encode([[1, 50, 2]], tokens=False)

    assert (refusal.value.code, refusal.value.retryable) == (ErrorCode.UNAVAILABLE, True)


@pytest.mark.parametrize("status", [400, 500])
def test_an_error_of_the_server_is_typed_and_its_words_are_dropped(status: int) -> None:
    server = VllmTwin()
    backend = _connect(server)
    server.status = status

    with pytest.raises(ModelFailed) as refusal:
        backend.encode([[1, 4242, 2]], tokens=False)

    assert str(status) in refusal.value.detail
    assert "4242" not in refusal.value.detail
    assert refusal.value.__cause__ is None


def test_an_answer_that_is_no_json_is_typed() -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, text="<html>"))

    with pytest.raises(ModelFailed, match="not JSON"):
        VllmBackend.connect(ADDRESS, NAMESPACE, 6, transport=transport)


def test_a_vector_of_zeros_is_typed() -> None:
    server = VllmTwin()
    backend = _connect(server)
    server.twin.length = 0.0

    with pytest.raises(ModelFailed, match="length zero"):
        backend.encode([[1, 50, 2]], tokens=False)


def test_the_key_is_sent_when_there_is_one() -> None:
    server = VllmTwin()

    _connect(server, VllmAddress(ADDRESS.url, api_key="k"))

    assert {request.headers["authorization"] for request in server.requests} == {"Bearer k"}


def test_the_content_hash_tells_models_apart() -> None:
    one, same, other = VllmTwin(), VllmTwin(), VllmTwin(models=["other"])

    assert _connect(one).content_hash == _connect(same).content_hash
    assert _connect(one).content_hash != _connect(other).content_hash


def test_waiting_for_a_server_that_never_starts_ends_with_what_to_do() -> None:
    lines: list[str] = []

    with pytest.raises(VllmUnavailable, match="ENCODER_VLLM_URL"):
        wait_until_up(VllmAddress("http://127.0.0.1:9", timeout_s=1.0), 0.0, lines.append)
