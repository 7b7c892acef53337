"""A keep-alive HTTP/1.1 client that costs microseconds: the server's time is measured, not the client's."""

import asyncio
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_TIMEOUT_MS = 30_000
"""Asked of our gateway, whose default is shorter; others ignore the header."""


class HttpRefused(RuntimeError):
    """The server answered with another status than 200."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"status {status}: {body[:200].decode(errors='replace')}")
        self.status = status


class HttpConnections:
    """Connections to one server, as many as requests were ever in flight at once."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for _, writer in self._idle:
            writer.close()

    async def post(self, path: str, body: bytes) -> bytes:
        """Return the body of the answer to one JSON request.

        Raises:
            HttpRefused: the status is not 200.
        """
        reader, writer = await self._take()
        writer.write(
            f"POST {path} HTTP/1.1\r\nhost: {self._address.netloc}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
            f"x-timeout-ms: {_TIMEOUT_MS}\r\n\r\n".encode()
            + body
        )
        status, length = _head(await reader.readuntil(b"\r\n\r\n"))
        answer = await reader.readexactly(length)
        self._idle.append((reader, writer))
        if status != 200:
            raise HttpRefused(status, answer)
        return answer

    async def _take(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():  # servers close what idled for some seconds
                return reader, writer
            writer.close()
        return await self._open()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._address.hostname, self._address.port)


def _head(head: bytes) -> tuple[int, int]:
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
    return int(status.split(" ")[1]), int(headers["content-length"])
