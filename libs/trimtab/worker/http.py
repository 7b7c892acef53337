"""The HTTP side of a worker: ``/health``, ``/ready`` and ``/metrics``, in a thread of its own.

It only reads the sampler's identity, so a busy event loop never makes a live worker look dead, and a
worker needs no web framework.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import orjson
from prometheus_client import make_wsgi_app

from trimtab.contracts.samples import Readiness
from trimtab.telemetry.metrics import REGISTRY
from trimtab.worker.sampler import Identity

_HEALTHY = frozenset({Readiness.READY, Readiness.DEGRADED})

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: probes come every second."""


@dataclass
class HealthServer:
    """Serves one worker's identity and the process's metrics."""

    identity: Identity
    """Read at each request."""
    host: str
    """Where to listen."""
    port: int
    """0 takes a free one."""
    _server: WSGIServer | None = None

    def start(self) -> int:
        """Listen in a daemon thread and return the port."""
        self._server = make_server(self.host, self.port, self._answer, handler_class=_Quiet)
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()
        return self._server.server_port

    def stop(self) -> None:
        """Close the socket and end the thread."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _answer(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        if path == "/metrics":
            body: Iterable[bytes] = make_wsgi_app(REGISTRY)(environ, start_response)
            return body
        if path not in ("/health", "/ready"):
            start_response("404 Not Found", [("Content-Type", "application/json")])
            return [b'{"detail":"try /health, /ready or /metrics"}']
        alive = self.identity.readiness != Readiness.STARTING
        ready = self.identity.readiness in _HEALTHY
        # A stale worker serves on (fail static), but whoever watches its health must see it.
        good = alive and not self.identity.stale if path == "/health" else ready
        status = "200 OK" if good else "503 Service Unavailable"
        start_response(status, [("Content-Type", "application/json")])
        return [health_body(self.identity)]


def health_body(identity: Identity) -> bytes:
    """Return the JSON of ``/health``: who, which versions, how it feels and why."""
    return orjson.dumps(
        {
            "status": "stale" if identity.stale else identity.readiness.value,
            "reason": identity.reason,
            "service": identity.service,
            "instance": identity.instance,
            "version": identity.version,
            "components": identity.components,
            "revision": identity.revision,
            "facts": identity.facts,
        }
    )
