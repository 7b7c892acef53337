"""A real HTTP server that speaks the interface of language models, and misbehaves when it is told to.

What it answers it decides itself, or a server behind it does (``upstream``): faults can then be put
before a real one. It keeps the adapters of a vLLM server by its rules: a name is loaded once, from a
folder that is there, and an unknown name is no model.
"""

import asyncio
import json
import math
import re
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import httpx

from services.mapper.engines.prompt import KEY
from tests.unit.mapper.shipped import taxonomy
from trimtab.bus.ending import end
from trimtab.supervisor.ports import HOST

CHAT = "/v1/chat/completions"
BASE = "tiny"
"""Name of its only base model."""


class Fault(StrEnum):
    """What may be wrong with an answer."""

    PROSE = "prose"
    OUTSIDE = "outside"
    ELSEWHERE = "elsewhere"
    BOASTS = "boasts"
    NOT_JSON = "not_json"
    NO_CHOICE = "no_choice"
    SLOW = "slow"
    ERROR = "error"
    REFUSED = "refused"
    BROKEN_OFF = "broken_off"
    DROPPED = "dropped"


CONTENTS = {
    Fault.PROSE: "I would say that this is an insult.",
    Fault.OUTSIDE: json.dumps({KEY: "HARM.SPEECH.Invented"}),
    Fault.BOASTS: json.dumps({KEY: "OTHER.Unknown", "confidence": 0.99}),
}


@dataclass
class ModelServer:
    """Its state: what it was asked and how it shall misbehave."""

    upstream: str = ""
    """Address of the server that answers; empty: this one does."""
    probability: float | None = 0.9
    """Of the label that it chooses, over the next one; None: it tells none."""
    faults: deque[Fault | None] = field(default_factory=deque)
    """For the next chat answers, one each; None: a good one."""
    always: Fault | None = None
    """For all answers beyond those."""
    chats: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of the chat requests, in order."""
    headers: list[dict[str, str]] = field(default_factory=list)
    """Of these."""
    loras: dict[str, str] = field(default_factory=dict)
    """Adapters: name -> folder."""
    url: str = ""
    """Where it listens."""
    _client: httpx.AsyncClient | None = None
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    def then_fault(self, *faults: Fault | None) -> None:
        """Set what the next chat answers suffer from, one each; None: nothing."""
        self.faults.extend(faults)

    @asynccontextmanager
    async def running(self) -> "AsyncIterator[ModelServer]":
        """Listen on a free port of the loopback interface until the block ends."""
        listener = await asyncio.start_server(self._connected, HOST, 0)
        self.url = f"http://{HOST}:{listener.sockets[0].getsockname()[1]}"
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=120) as client:
                self._client = client
                yield self
                listener.close()
                for task in list(self._open):
                    await end(task)
        finally:
            listener.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while await self._request(reader, writer):
                    pass
        finally:
            self._open.discard(task)
            writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False when the connection is over."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
        method, path, _ = head[0].split(" ")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:])}
        content = await reader.readexactly(int(headers.get("content-length", 0)))
        fault: Fault | None = None
        if path == CHAT:
            self.chats.append(json.loads(content))
            self.headers.append(headers)
            fault = self.faults.popleft() if self.faults else self.always
        if fault is Fault.DROPPED:
            writer.transport.abort()
            return False
        if fault is Fault.SLOW:
            await asyncio.Event().wait()
        status, body = await self._answer(method, path, content, fault)
        whole = body + b" " * (fault is Fault.BROKEN_OFF)
        writer.write(
            f"HTTP/1.1 {status} -\r\ncontent-type: application/json\r\n"
            f"content-length: {len(whole)}\r\n\r\n".encode()
        )
        writer.write(body)
        await writer.drain()
        return fault is not Fault.BROKEN_OFF

    async def _answer(
        self, method: str, path: str, content: bytes, fault: Fault | None
    ) -> tuple[int, bytes]:
        if fault is Fault.ERROR:
            return 500, json.dumps({"error": f"cannot answer {content[:200]!r}"}).encode()
        if fault is Fault.REFUSED:
            return 400, json.dumps({"error": f"too long: {content[:200]!r}"}).encode()
        if fault is Fault.NOT_JSON:
            return 200, b"<html>"
        if fault is Fault.NO_CHOICE:
            return 200, b'{"choices": []}'
        if fault is Fault.ELSEWHERE:
            return 200, completion(json.dumps({KEY: elsewhere(json.loads(content))}), None)
        if fault is not None and fault in CONTENTS:
            return 200, completion(CONTENTS[fault], None)
        if self.upstream:
            return await self._forward(method, path, content)
        return self._own(path, json.loads(content) if content else {})

    async def _forward(self, method: str, path: str, content: bytes) -> tuple[int, bytes]:
        assert self._client is not None
        headers = {"content-type": "application/json"}
        answer = await self._client.request(
            method, f"{self.upstream}{path}", content=content, headers=headers
        )
        return answer.status_code, answer.content

    def _own(self, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
        match path:
            case "/health":
                return 200, b"{}"
            case "/v1/models":
                models = [{"id": name} for name in (BASE, *self.loras)]
                return 200, json.dumps({"data": models}).encode()
            case "/v1/load_lora_adapter":
                return self._load(body["lora_name"], body["lora_path"]), b"{}"
            case "/v1/unload_lora_adapter":
                return (404 if self.loras.pop(body["lora_name"], None) is None else 200), b"{}"
            case "/v1/chat/completions":
                return self._chat(body)
            case _:
                return 404, b"{}"

    def _load(self, name: str, path: str) -> int:
        if name in self.loras:
            return 400
        if not (Path(path) / "adapter_config.json").is_file():
            return 404
        self.loras[name] = path
        return 200

    def _chat(self, body: dict[str, Any]) -> tuple[int, bytes]:
        if body["model"] not in (BASE, *self.loras):
            return 404, b"{}"
        labels = allowed(body)
        chosen = labels[len(json.dumps(body["messages"])) % len(labels)]
        content = json.dumps({KEY: chosen})
        if self.probability is None:
            return 200, completion(content, None)
        return 200, completion(content, told(chosen, labels, self.probability))


def allowed(body: dict[str, Any]) -> list[str]:
    """Return the labels that a request holds its answer to, whichever way it says so."""
    if "response_format" in body:
        form = body["response_format"]["json_schema"]["schema"]
        return list(form["properties"][KEY]["enum"])
    [names] = re.findall(r"\((.*)\)", body["structured_outputs"]["regex"])
    return [re.sub(r"\\(.)", r"\1", name) for name in names.split("|")]


def elsewhere(body: dict[str, Any]) -> str:
    """Return a label of the taxonomy that was not among those to choose from."""
    offered = allowed(body)
    return next(label for label in taxonomy().labels if label not in offered)


def told(chosen: str, labels: list[str], probability: float) -> list[dict[str, Any]]:
    """Return the tokens of an answer: the whole label is one token, the other labels its alternatives."""
    rest = (1 - probability) / (len(labels) - 1)
    tokens = [
        _token(f'{{"{KEY}": "', 0.0),
        _token(chosen, math.log(probability)),
        _token('"}', 0.0),
    ]
    tokens[1]["top_logprobs"] = [
        _token(label, math.log(rest)) for label in labels if label != chosen
    ]
    return tokens


def completion(content: str, tokens: list[dict[str, Any]] | None) -> bytes:
    """Return a chat completion."""
    choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": content}}
    choice["logprobs"] = None if tokens is None else {"content": tokens}
    return json.dumps({"id": "x", "object": "chat.completion", "choices": [choice]}).encode()


def _token(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "top_logprobs": []}
