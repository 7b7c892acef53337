"""One server of language models, spoken to over HTTP as OpenAI's interface has it.

Server texts, which quote what they were asked, never leave this module: errors hold a status alone.
"""

from dataclasses import dataclass
from typing import Any

from trimtab.contracts.errors import DependencyError

try:
    import httpx
except ImportError as error:
    raise ModuleNotFoundError(
        "language models over HTTP need httpx; run: pip install 'trimtab[mapper-llm]'", name="httpx"
    ) from error

NOT_FOUND = 404

_LONGEST_S = 120.0
"""Beyond any caller's patience, who sets the real limit: a call that was forgotten ends by itself."""

_CONNECTIONS = 64


class LlmFailed(DependencyError):
    """A server of language models did not give an answer that can be used."""

    def __init__(self, server: str, problem: str, http_status: int = 0) -> None:
        super().__init__(f"the model server {server}: {problem}")
        self.server, self.problem, self.http_status = server, problem, http_status


@dataclass(frozen=True, slots=True)
class Wire:
    """Connections to one server, kept open."""

    server: str
    """What the settings call it, for errors."""
    client: httpx.AsyncClient
    """Of the server; used on one loop."""

    @classmethod
    def open(
        cls,
        server: str,
        url: str,
        api_key: str = "",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> "Wire":
        """Return the connections; nothing is sent yet.

        ``url`` is the base address with or without ``/v1``; ``api_key`` goes into the one header.
        """
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        client = httpx.AsyncClient(
            base_url=url.rstrip("/").removesuffix("/v1"),
            headers=headers,
            timeout=_LONGEST_S,
            limits=httpx.Limits(
                max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS
            ),
            transport=transport,
            trust_env=False,  # a proxy of the environment would catch the loopback address too
        )
        return cls(server, client)

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self.client.is_closed

    async def get(self, path: str) -> Any:
        """Return the JSON behind a path.

        Raises:
            LlmFailed: it cannot be had.
        """
        return self._json(await self._send("GET", path, None))

    async def post(self, path: str, body: dict[str, Any]) -> bytes:
        """Send JSON and return the answer's bytes.

        Raises:
            LlmFailed: there is no answer, or its status is not 2xx.
        """
        return (await self._send("POST", path, body)).content

    async def healthy(self) -> bool:
        """Tell whether ``/health`` says 200: vLLM's own page, not of OpenAI's interface."""
        try:
            await self._send("GET", "/health", None)
        except LlmFailed:
            return False
        return True

    async def close(self) -> None:
        """Close the connections."""
        await self.client.aclose()

    async def _send(self, method: str, path: str, body: dict[str, Any] | None) -> httpx.Response:
        try:
            response = await self.client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise LlmFailed(self.server, f"cannot be reached ({type(error).__name__})") from None
        if not response.is_success:
            status = response.status_code
            raise LlmFailed(self.server, f"answered {path} with HTTP {status}", status)
        return response

    def _json(self, response: httpx.Response) -> Any:
        try:
            return response.json()
        except ValueError:
            raise LlmFailed(self.server, "its answer is not JSON") from None
