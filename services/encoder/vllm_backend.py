"""A vLLM server as the model: vectors over HTTP from a process with an environment of its own.

vLLM's pins exclude ours, so it is never imported. Its OpenAI-compatible ``/v1/embeddings`` gives no
token vectors: requests that ask for them are answered without (``tokens`` is None).
"""

import base64
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.encoder.backend import BatchLimits, Encoded, PackageMissing
from services.encoder.probe import ProbeFailed
from services.encoder.spec import namespace_dimension
from services.encoder.tokenizer import Specials, TextTokenizer
from trimtab.contracts.errors import DependencyError, ModelFailed

try:
    import httpx
except ImportError as error:
    raise PackageMissing("httpx", "encoder-vllm") from error

LIMITS = BatchLimits(texts=64, tokens=4096)
"""The server packs what it gets into its own batches: the more it sees, the better."""

_PROBE = "rudder"
_RETRY_S = 1.0


class VllmUnavailable(DependencyError):
    """The vLLM server does not answer."""

    def __init__(self) -> None:
        super().__init__(
            "the vLLM server cannot be reached; is it running at the address of ENCODER_VLLM_URL?"
        )


@dataclass(frozen=True, slots=True)
class VllmAddress:
    """Where a vLLM server is and what it is asked for."""

    url: str
    """Base address, without ``/v1``."""
    model: str = ""
    """Model name; empty takes the server's only one."""
    api_key: str = ""
    """Bearer token; empty sends none."""
    timeout_s: float = 30.0
    """Longest wait for one answer."""

    def client(self, transport: httpx.BaseTransport | None = None) -> httpx.Client:
        """Return a client of the server; ``transport`` replaces the network in tests."""
        headers = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        return httpx.Client(
            base_url=self.url.rstrip("/"),
            headers=headers,
            timeout=self.timeout_s,
            transport=transport,
            trust_env=False,  # a proxy of the environment would catch the loopback address too
        )


@dataclass(frozen=True)
class VllmBackend:
    """An :class:`EncoderBackend` that asks a vLLM server."""

    client: httpx.Client
    """Of the server; used from one thread."""
    model: str
    """Model name there."""
    namespace: str
    """Vector space that the operator declared; proved by the probe."""
    dimension: int
    """Numbers per vector."""
    max_tokens: int
    """Token budget of one text, special tokens included."""
    specials: Specials
    """Special tokens around every text."""
    tokenizer: TextTokenizer | None = None
    """The model's own tokenizer; None asks the server for every text."""
    profile: str = "vllm"
    """How the vectors are computed."""
    gives_tokens: bool = False
    """Never: the endpoint returns one vector per text."""
    limits: BatchLimits = LIMITS
    """What one call may hold."""

    @classmethod
    def connect(
        cls,
        address: VllmAddress,
        namespace: str,
        max_tokens: int,
        tokenizer: Path | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> "VllmBackend":
        """Ask a running server what it serves.

        Raises:
            VllmUnavailable: it does not answer.
            ProbeFailed: the namespace's name states no dimension, or the model is not served there.
        """
        dimension = namespace_dimension(namespace)
        if dimension is None:
            raise ProbeFailed(namespace, "its name states no dimension")
        client = address.client(transport)
        local = TextTokenizer.load(tokenizer) if tokenizer is not None else None
        model = _served(client, address.model, namespace)
        specials = local.specials if local is not None else _specials(client, model)
        return cls(client, model, namespace, dimension, max_tokens, specials, local)

    @property
    def content_hash(self) -> str:
        """sha256 over what is known of the server: model, its root, version, namespace, budget."""
        served = _get(self.client, "/v1/models")["data"]
        root = next((m.get("root", "") for m in served if m["id"] == self.model), "")
        version = _get(self.client, "/version").get("version", "")
        known = [self.model, root, version, self.namespace, self.max_tokens]
        return hashlib.sha256(msgspec.json.encode(known)).hexdigest()

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return all token ids of each text."""
        if self.tokenizer is not None:
            return [self.tokenizer.ids(text) for text in texts]
        return [_tokenize(self.client, self.model, text) for text in texts]

    def encode(self, ids: Sequence[Sequence[int]], *, tokens: bool) -> Encoded:
        """Send token ids, so that server and budget agree on what a token is.

        The server normalises in its own precision; the rows are brought to unit length again in f32.
        """
        body = {
            "model": self.model,
            "input": [list(text) for text in ids],
            "encoding_format": "base64",
        }
        answer = _post(self.client, "/v1/embeddings", body)
        rows = sorted(answer["data"], key=lambda item: int(item["index"]))
        if len(rows) != len(ids):
            raise ModelFailed("the vLLM server (it answered with another number of vectors)")
        return Encoded(_unit(np.stack([_vector(row["embedding"]) for row in rows])), None)

    def close(self) -> None:
        """Close the connections."""
        self.client.close()


def wait_until_up(address: VllmAddress, wait_s: float, report: Callable[[str], None]) -> None:
    """Wait for a server that is starting: loading a model takes it half a minute.

    Raises:
        VllmUnavailable: it did not answer ``/health`` in time.
    """
    give_up_at = time.monotonic() + wait_s
    with address.client() as client:
        while True:
            try:
                if client.get("/health").is_success:
                    return
            except httpx.TransportError:
                pass  # not listening yet
            if time.monotonic() >= give_up_at:
                raise VllmUnavailable
            report("waiting for the vLLM server")
            time.sleep(_RETRY_S)


def _served(client: httpx.Client, wanted: str, namespace: str) -> str:
    names = [str(model["id"]) for model in _get(client, "/v1/models")["data"]]
    if wanted in names or (not wanted and len(names) == 1):
        return wanted or names[0]
    raise ProbeFailed(
        namespace, f"the vLLM server has {', '.join(names) or 'no model'}; set ENCODER_VLLM_MODEL"
    )


def _specials(client: httpx.Client, model: str) -> Specials:
    """Find how many special tokens surround a text by tokenising one with and without them."""
    bare = _tokenize(client, model, _PROBE, special=False)
    full = _tokenize(client, model, _PROBE)
    for before in range(len(full) - len(bare) + 1):
        if full[before : before + len(bare)] == bare:
            return Specials(before, len(full) - len(bare) - before)
    return Specials(0, 0)


def _tokenize(client: httpx.Client, model: str, text: str, *, special: bool = True) -> list[int]:
    body = {"model": model, "prompt": text, "add_special_tokens": special}
    ids: list[int] = _post(client, "/tokenize", body)["tokens"]
    return ids


def _vector(embedding: str) -> NDArray[np.float32]:
    return np.frombuffer(base64.b64decode(embedding), dtype="<f4")


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    if not np.all(np.isfinite(norms) & (norms > 0)):
        raise ModelFailed("the vLLM server (a vector of length zero or not a number)")
    unit: NDArray[np.float32] = (vectors / norms).astype(np.float32)
    return unit


def _get(client: httpx.Client, path: str) -> dict[str, Any]:
    return _call(client, "GET", path, None)


def _post(client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    return _call(client, "POST", path, body)


def _call(
    client: httpx.Client, method: str, path: str, body: dict[str, Any] | None
) -> dict[str, Any]:
    """Return the JSON object of an answer; the server's error text is dropped: it quotes the input."""
    try:
        response = client.request(method, path, json=body)
        response.raise_for_status()
        parsed = response.json()
    except httpx.HTTPStatusError as error:
        raise ModelFailed(f"the vLLM server (HTTP {error.response.status_code})") from None
    except httpx.HTTPError:
        raise VllmUnavailable from None
    except ValueError:
        raise ModelFailed("the vLLM server (its answer is not JSON)") from None
    if not isinstance(parsed, dict):
        raise ModelFailed("the vLLM server (its answer is not a JSON object)")
    return parsed
