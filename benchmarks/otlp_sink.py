"""A local OTLP/HTTP collector that only counts: ``python -m benchmarks.otlp_sink PORTFILE``.

It writes its port into PORTFILE; ``GET /`` returns how many exports and bytes arrived.
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Sink(ThreadingHTTPServer):
    """Counts what it is sent."""

    exports = 0
    received = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Sink

    def do_POST(self) -> None:
        """Take an export."""
        self.server.received += len(self.rfile.read(int(self.headers["content-length"])))
        self.server.exports += 1
        self._answer(b"", "application/x-protobuf")

    def do_GET(self) -> None:
        """Say what arrived."""
        self._answer(f"{self.server.exports} {self.server.received}".encode(), "text/plain")

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing per request."""


def main() -> None:
    """Serve until killed."""
    sink = Sink(("127.0.0.1", 0), _Handler)
    Path(sys.argv[1]).write_text(str(sink.server_port))
    sink.serve_forever()


if __name__ == "__main__":
    main()
