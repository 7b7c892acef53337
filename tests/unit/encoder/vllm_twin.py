"""The HTTP face of a vLLM server, as far as the encoder uses it, over the deterministic twin."""

import base64
import json
from dataclasses import dataclass, field

import httpx
import numpy as np

from tests.unit.encoder.twin import CLOSE, OPEN, Twin


@dataclass
class VllmTwin:
    """Answers like vLLM 0.32: sorted or not, normalised in its own precision, errors that quote."""

    twin: Twin = field(default_factory=Twin)
    models: list[str] = field(default_factory=lambda: ["minilm"])
    status: int = 200
    """Of every embedding answer."""
    down: bool = False
    """Refuses connections."""
    requests: list[httpx.Request] = field(default_factory=list)

    def transport(self) -> httpx.MockTransport:
        """Return what a client talks to."""
        return httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.down:
            raise httpx.ConnectError("refused", request=request)
        body = json.loads(request.content) if request.content else {}
        match request.url.path:
            case "/v1/models":
                data = [{"id": name, "root": f"/models/{name}"} for name in self.models]
                return httpx.Response(200, json={"data": data})
            case "/version":
                return httpx.Response(200, json={"version": "0.32.0"})
            case "/tokenize":
                return httpx.Response(200, json={"tokens": self._tokens(body)})
            case "/v1/embeddings":
                return self._embeddings(body)
            case _:
                return httpx.Response(404)

    def _tokens(self, body: dict[str, object]) -> list[int]:
        [ids] = self.twin.tokenize([str(body["prompt"])])
        assert (ids[0], ids[-1]) == (OPEN, CLOSE)
        return ids if body["add_special_tokens"] else ids[1:-1]

    def _embeddings(self, body: dict[str, list[list[int]]]) -> httpx.Response:
        if self.status != 200:
            return httpx.Response(self.status, json={"error": f"cannot embed {body['input']}"})
        vectors = self.twin.encode(body["input"], tokens=False).vectors * np.float32(1.003)
        data = [
            {"index": i, "embedding": base64.b64encode(row.astype("<f4").tobytes()).decode()}
            for i, row in enumerate(vectors)
        ]
        return httpx.Response(200, json={"data": data[::-1]})
